using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using CsCheck;
using IlgpuSparse.Cli.Serving;

namespace IlgpuSparse.ServerTests;

/// <summary>Whatever is sent, the answer is a status with a message, and the server goes on.</summary>
public class BadRequestTests(ServerFixture server)
{
    private const string Chat = "v1/chat/completions", Complete = "v1/completions", OllamaChat = "api/chat", OllamaGenerate = "api/generate", Live = "live/chat";

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(1);

    private async Task<(HttpStatusCode Status, string Message)> Post(string path, byte[] body, string type = "application/json")
    {
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        using var response = await server.Http.PostAsync(path, content);
        string text = await response.Content.ReadAsStringAsync();
        if (response.IsSuccessStatusCode) return (response.StatusCode, text);
        var error = JsonDocument.Parse(text).RootElement.GetProperty("error");
        return (response.StatusCode, (error.ValueKind == JsonValueKind.String ? error : error.GetProperty("message")).GetString()!);
    }

    private string Named(string json) => json.Replace("MODEL", server.Model.Name, StringComparison.Ordinal);

    [Theory]
    [InlineData(Chat, "", 400, "no JSON")]
    [InlineData(Chat, "{", 400, "no JSON")]
    [InlineData(Chat, "[]", 400, "must be an object")]
    [InlineData(Chat, "{}", 400, "'messages' is missing")]
    [InlineData(Chat, "{\"messages\":[]}", 400, "'messages' is missing or empty")]
    [InlineData(Chat, "{\"messages\":\"hi\"}", 400, "must be a list of objects")]
    [InlineData(Chat, "{\"messages\":[5]}", 400, "'messages[0]' is 5")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\"}]}", 400, "'messages[0].content' is missing")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"king\",\"content\":\"a\"}]}", 400, "the role 'king'")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", 400, "must be a text")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 400, "is not \"text\"")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud800\"}]}", 400, "surrogate")]
    [InlineData(Chat, "{\"model\":\"gpt-4\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 404, "there is no model 'gpt-4'")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":-1}", 400, "a number from 0 to 2")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":1e999}", 400, "a number from 0 to 2")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"temperature\":\"hot\"}", 400, "a number from 0 to 2")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":0}", 400, "a whole number from 1")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":1e18}", 400, "a whole number from 1")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":2.5}", 400, "a whole number from 1")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"n\":2}", 400, "'n' is 2")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stop\":[1]}", 400, "'stop[0]'")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stop\":\"\"}", 400, "texts of 1 to")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"stream\":\"yes\"}", 400, "true or false")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[{}]}", 400, "calls no tools")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"response_format\":{\"type\":\"json_object\"}}", 400, "only text")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"frequency_penalty\":1}", 400, "only 0 is supported")]
    [InlineData(Chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"logprobs\":true,\"top_logprobs\":50}", 400, "from 0 to 20")]
    [InlineData(Complete, "{}", 400, "'prompt' is missing")]
    [InlineData(Complete, "{\"prompt\":[1,\"a\"]}", 400, "a token id")]
    [InlineData(Complete, "{\"prompt\":[1,999999]}", 400, "token id 999999")]
    [InlineData(Complete, "{\"prompt\":[\"a\",\"b\"]}", 400, "at most 1 texts")]
    [InlineData(Complete, "{\"prompt\":\"a\",\"echo\":true}", 400, "'echo'")]
    [InlineData(OllamaChat, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 400, "'model' is missing")]
    [InlineData(OllamaChat, "{\"model\":\"llama3\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 404, "'llama3' not found")]
    [InlineData(OllamaChat, "{\"model\":\"MODEL\",\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"images\":[\"x\"]}]}", 400, "text alone")]
    [InlineData(OllamaChat, "{\"model\":\"MODEL\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"format\":\"json\"}", 400, "only text")]
    [InlineData(OllamaGenerate, "{\"model\":\"MODEL\"}", 400, "'prompt' is missing")]
    [InlineData(OllamaGenerate, "{\"model\":\"MODEL\",\"prompt\":\"a\",\"options\":{\"top_k\":-5}}", 400, "'options.top_k' is -5")]
    [InlineData(OllamaGenerate, "{\"model\":\"MODEL\",\"prompt\":\"a\",\"options\":7}", 400, "must be an object")]
    [InlineData(Live, "{}", 400, "'messages' is missing")]
    public async Task Wrong_bodies_are_refused_with_what_is_wrong(string path, string body, int status, string message)
    {
        var answer = await Post(path, Encoding.UTF8.GetBytes(Named(body)));
        Assert.Equal(status, (int)answer.Status);
        Assert.Contains(message, answer.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Other_types_large_bodies_and_unknown_places_are_refused()
    {
        byte[] good = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"u8.ToArray();
        Assert.Equal(HttpStatusCode.UnsupportedMediaType, (await Post(Chat, good, "text/plain")).Status);
        var large = await Post(Chat, Encoding.UTF8.GetBytes($"{{\"messages\":[{{\"role\":\"user\",\"content\":\"{new string('a', 300 << 10)}\"}}]}}"));
        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, true), (large.Status, large.Message.Contains("262,144", StringComparison.Ordinal)));
        Assert.Equal(HttpStatusCode.BadRequest, (await Post(Chat, [.. "{\"messages\":[{\"role\":\"user\",\"content\":\""u8, 0xff, 0xc0, .. "\"}]}"u8])).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await Post("v1/embeddings", good)).Status);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await server.Http.GetAsync(Chat)).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.Http.GetAsync("page/../../etc/passwd")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.Http.GetAsync("page/%2e%2e%2fappsettings.json")).StatusCode);
        Assert.Equal(HttpStatusCode.NotFound, (await server.Http.GetAsync("v1/models/gpt-4")).StatusCode);
        string deep = $"{{\"messages\":{new string('[', 5000)}";
        Assert.Equal(HttpStatusCode.BadRequest, (await Post(Chat, Encoding.UTF8.GetBytes(deep))).Status);
        var longPrompt = await Post(Chat, Encoding.UTF8.GetBytes($"{{\"messages\":[{{\"role\":\"user\",\"content\":\"{string.Concat(Enumerable.Repeat("word after word ", 9000))}\"}}]}}"));
        Assert.Equal(HttpStatusCode.BadRequest, longPrompt.Status);
        Assert.Contains("does not fit the context of 8,192", longPrompt.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_sites_name_for_this_address_is_refused()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "v1/models") { Headers = { Host = "evil.example" } };
        Assert.Equal(HttpStatusCode.BadRequest, (await server.Http.SendAsync(request)).StatusCode);
    }

    [Theory]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    [InlineData("NONSENSE\r\n\r\n")]
    [InlineData("GET / HTTP/9.9\r\nHost: localhost\r\n\r\n")]
    [InlineData("FLOOD")]
    public async Task Broken_HTTP_is_refused(string request)
    {
        if (request == "FLOOD") request = $"GET / HTTP/1.1\r\nHost: localhost\r\n{string.Concat(Enumerable.Range(0, 2000).Select(i => $"X-{i}: {new string('y', 100)}\r\n"))}\r\n";
        string answer = await Exchange(server.Address, Encoding.ASCII.GetBytes(request), s_patience);
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 505", StringComparison.Ordinal), answer);
        Assert.Equal("ok", await server.Http.GetStringAsync("healthz"));
    }

    // What a TCP connection gets for these bytes until the server closes it, or says nothing for as long as the quiet; empty where it was closed in the middle of them.
    private static async Task<string> Exchange(Uri address, byte[] sent, TimeSpan quiet)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(address.Host, address.Port);
        var stream = client.GetStream();
        using var answer = new MemoryStream();
        try
        {
            await stream.WriteAsync(sent);
            byte[] buffer = new byte[16384];
            for (int read; (read = await stream.ReadAsync(buffer).AsTask().WaitAsync(quiet)) > 0;) answer.Write(buffer, 0, read);
        }
        catch (Exception e) when (e is IOException or SocketException or TimeoutException)
        {
        }
        return Encoding.Latin1.GetString(answer.ToArray());
    }

    private static byte[] Http(string head) => Encoding.ASCII.GetBytes(head.Replace("\n", "\r\n", StringComparison.Ordinal));

    [Fact]
    public async Task Bodies_larger_than_allowed_are_refused_before_they_are_read()
    {
        string declared = await Exchange(server.Address, Http($"POST /{Chat} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 1000000000000\n\n{{"), s_patience);
        Assert.StartsWith("HTTP/1.1 413", declared, StringComparison.Ordinal);
        Assert.Contains("262,144", declared, StringComparison.Ordinal);
        // of no declared length: given up when it is too long, and closed, which may overtake the answer
        string chunk = $"8000\n{new string('a', 0x8000)}\n";
        string chunked = await Exchange(server.Address, Http($"POST /{Chat} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n{string.Concat(Enumerable.Repeat(chunk, 12))}0\n\n"), s_patience);
        Assert.True(chunked.Length == 0 || chunked.StartsWith("HTTP/1.1 413", StringComparison.Ordinal), chunked);
        // a chunk of more than there can be
        foreach (string size in (string[])["ffffffff", "ffffffffffffffff"])
        {
            string endless = await Exchange(server.Address, Http($"POST /{Chat} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nTransfer-Encoding: chunked\nConnection: close\n\n{size}\n"), s_patience);
            Assert.StartsWith("HTTP/1.1 400", endless, StringComparison.Ordinal);
            Assert.Contains("chunks", endless, StringComparison.Ordinal);
        }
        // numbers of a hundred thousand digits, in the limit
        string digits = new('9', 100_000);
        var absurd = await Post(Chat, Encoding.UTF8.GetBytes($"{{\"messages\":[{{\"role\":\"user\",\"content\":\"a\"}}],\"seed\":{digits}}}"));
        Assert.Equal(HttpStatusCode.BadRequest, absurd.Status);
        Assert.InRange(absurd.Message.Length, 10, 300);
    }

    [Fact]
    public async Task Slow_senders_are_given_up_and_keep_nobody_waiting()
    {
        await using var patient = await ChatServer.StartAsync(server.Model, new ServerOptions { Port = 0, HeaderTime = TimeSpan.FromSeconds(2) });
        var headers = Enumerable.Range(0, 32).Select(_ => Exchange(patient.Address, Http("POST /v1/completions HTTP/1.1\nHost: localhost\nX-Slow: "), s_patience)).ToArray();
        var bodies = Enumerable.Range(0, 32).Select(_ => Exchange(patient.Address, Http($"POST /{Complete} HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 5000\n\n{{\"prompt\": "), s_patience)).ToArray();
        using var http = new HttpClient { BaseAddress = patient.Address };
        using var answer = await http.PostAsync(Complete, new StringContent("{\"prompt\":\"Once\",\"max_tokens\":2}", Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.All(await Task.WhenAll(headers), a => Assert.StartsWith("HTTP/1.1 408", a, StringComparison.Ordinal));
        Assert.All(await Task.WhenAll(bodies), a => Assert.StartsWith("HTTP/1.1 408", a, StringComparison.Ordinal));
        Assert.Equal("ok", await http.GetStringAsync("healthz"));
    }

    [Fact]
    public async Task Damaged_HTTP_by_the_thousand_never_fails_the_server()
    {
        string[] methods = ["GET", "GET", "GET", "GET", "POST", "POST", "POST", "PUT", "OPTIONS", "HEAD", "BREW", "post", "G\u0000T", ""];
        string[] paths = ["/", "/v1/models", "/v1/chat/completions", "/api/chat", "/page/page.js", "/metrics", "//", "/%", "/%00", "/..%2f..%2fetc/passwd", "*", "http://localhost/v1/models", "/" + new string('a', 9000)];
        string[] headers = ["Content-Length: 0", "Content-Length: 5", "Content-Length: 99999999999999999999", "Content-Length: -1", "Content-Length: 5\nContent-Length: 6", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Content-Type: application/json", "Content-Type: application/json; charset=utf-99",
            "Host: other.example", "Host: a\nHost: b", "Expect: 100-continue", "Upgrade: h2c", "Connection: close", "Authorization: Bearer " + new string('k', 3000), "Accept-Encoding: *;q=9", "X: " + new string('x', 40_000), ": empty", "no colon", "X : space", "Range: bytes=9-1", "Cookie: \u00ff\u00fe"];
        string[] bodies = ["", "{}", "{\"messages\":", "zz\n", "5\n{\"a\":\n", "0\n\n", "ffffffffffffffff\n"];
        var damaged = Gen.Select(Gen.Int[0, methods.Length - 1], Gen.Int[0, paths.Length - 1], Gen.Int[0, headers.Length - 1].Array[0, 3], Gen.Int[0, bodies.Length - 1], Gen.Select(Gen.Int[0, 1000], Gen.Byte.Array[0, 6]), Gen.Int[0, 150]);
        var seen = new ConcurrentDictionary<string, bool>();
        await damaged.SampleAsync(async (method, path, some, body, damage, flood) =>
        {
            string head = $"{methods[method]} {paths[path]} HTTP/1.1\nHost: localhost\n{string.Concat(some.Select(h => headers[h] + "\n"))}{(flood > 90 ? string.Concat(Enumerable.Range(0, flood).Select(i => $"H{i}: {i}\n")) : "")}\n{bodies[body]}";
            byte[] sent = Encoding.Latin1.GetBytes(head.Replace("\n", "\r\n", StringComparison.Ordinal));
            var (at, bytes) = damage;
            if (at < sent.Length) sent = [.. sent[..at], .. bytes, .. sent[at..]];
            string answer = await Exchange(server.Address, sent, TimeSpan.FromMilliseconds(15));
            // several requests may have been found in the bytes: every answer is one that the client is to blame for, or a success
            foreach (string line in answer.Split("\r\n").Where(l => l.StartsWith("HTTP/1.1 ", StringComparison.Ordinal)))
            {
                Assert.True(line[9] is '1' or '2' or '4' || line[9..12] is "505" or "501", $"{line} for {head}");
                seen.TryAdd(line[9..12], true);
            }
        }, iter: 1000, threads: 4);
        // of what can go wrong there, all of this was met
        foreach (string status in (string[])["200", "400", "404", "405", "431"]) Assert.Contains(status, seen.Keys);
        Assert.Equal("ok", await server.Http.GetStringAsync("healthz"));
    }

    [Fact]
    public async Task Damaged_requests_by_the_thousand_never_fail_the_server()
    {
        string[] paths = [Chat, Complete, OllamaChat, OllamaGenerate, Live];
        string[] values = ["null", "true", "-1", "1e400", "0.5", "99999999999999999999", "\"\"", "\"x\"", "\"\\ud800\"", "\"\\u0000\"", "[]", "{}", "[[[]]]", "[1]", "{\"a\":1}", "\"</s>\""];
        string[] names = ["model", "messages", "prompt", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "n", "max_tokens", "stream_options", "logprobs", "top_logprobs", "options", "logit_bias", "response_format", "full_attention", "trace", "raw", "system", "keep_alive"];
        var damaged = Gen.Select(Gen.Int[0, paths.Length - 1], Gen.Int[0, names.Length - 1], Gen.Int[0, values.Length - 1], Gen.Int[0, 400], Gen.Byte.Array[0, 8]);
        await damaged.SampleAsync(async (path, name, value, at, bytes) =>
        {
            string fields = $"\"{names[name]}\":{values[value]},\"max_tokens\":1,\"options\":{{\"num_predict\":1,\"{names[name]}\":{values[value]}}},\"stream\":false";
            byte[] body = Encoding.UTF8.GetBytes(Named($"{{\"model\":\"MODEL\",\"prompt\":\"a\",\"messages\":[{{\"role\":\"user\",\"content\":\"a\",\"{names[name]}\":{values[value]}}}],{fields}}}"));
            if (at < body.Length) body = [.. body[..at], .. bytes, .. body[at..]];
            var (status, message) = await Post(paths[path], body);
            Assert.True((int)status is 200 or (>= 400 and < 500), $"{(int)status} {message} for {Encoding.UTF8.GetString(body)}");
            Assert.NotEmpty(message);
        }, iter: 2000, threads: 4);
        Assert.Equal("ok", await server.Http.GetStringAsync("healthz"));
    }
}
