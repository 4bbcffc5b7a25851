using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Serving;
using IlgpuSparse.Generation;

namespace IlgpuSparse.ServerTests;

/// <summary>What whoever runs a server relies on: key, limits, health, metrics, a stop that loses nothing.</summary>
public class OperationTests(ServerFixture server)
{
    private static object Question(int tokens, bool stream = false) => new { messages = new[] { new { role = "user", content = "Once upon a time" } }, max_tokens = tokens, stream, seed = 1 };

    private static async Task<(ChatServer Server, HttpClient Http)> Start(ChatModel model, ServerOptions options)
    {
        var server = await ChatServer.StartAsync(model, options with { Port = 0 });
        return (server, new HttpClient { BaseAddress = server.Address });
    }

    [Fact]
    public async Task A_key_is_wanted_where_one_is_set()
    {
        var (other, http) = await Start(server.Model, new ServerOptions { ApiKey = "secret" });
        await using (other)
        using (http)
        {
            foreach (string path in new[] { "v1/models", "api/tags", "live/model", "metrics" }) Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(path)).StatusCode);
            foreach (string key in new[] { "", "secre", "secret1", "SECRET" })
            {
                http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
                var refused = await http.PostAsJsonAsync("v1/chat/completions", Question(1));
                Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
                Assert.Contains("API key", await refused.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            }
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "secret");
            Assert.Equal(HttpStatusCode.OK, (await http.PostAsJsonAsync("v1/chat/completions", Question(1))).StatusCode);
            http.DefaultRequestHeaders.Authorization = null;
            foreach (string path in new[] { "", "page/page.js", "healthz", "readyz" }) Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(path)).StatusCode);
        }
    }

    [Fact]
    public async Task Metrics_count_tokens_bytes_and_requests()
    {
        async Task<double> Metric(string name) =>
            (await server.Http.GetStringAsync("metrics")).Split('\n').Where(l => l.StartsWith(name, StringComparison.Ordinal)).Sum(l => double.Parse(l[(l.LastIndexOf('}') + 1)..].Trim().Split(' ')[0]));
        await server.Http.PostAsJsonAsync("v1/chat/completions", Question(5));
        double before = await Metric("ilgpusparse_generated_tokens_total");
        await server.Http.PostAsJsonAsync("v1/chat/completions", Question(7));
        double after = 0;
        for (int i = 0; i < 50 && after < before + 7; i++)
        {
            await Task.Delay(100);
            after = await Metric("ilgpusparse_generated_tokens_total");
        }
        Assert.Equal(before + 7, after);
        string all = await server.Http.GetStringAsync("metrics");
        foreach (string name in new[] { "ilgpusparse_requests_total", "ilgpusparse_cache_read_bytes_total", "ilgpusparse_cache_dense_read_bytes_total", "ilgpusparse_queue_time_seconds", "ilgpusparse_first_token_time_seconds", "ilgpusparse_requests_active", "ilgpusparse_requests_queued", "ilgpusparse_cache_used_tokens", "ilgpusparse_prompt_reused_tokens" })
            Assert.Contains(name, all, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_queue_answers_429_and_a_stop_finishes_what_runs()
    {
        using var model = ServerFixture.Open(new ChatModelOptions { Parallel = 1, Context = 2048, Engine = new EngineOptions { QueueLimit = 1 } });
        var (small, http) = await Start(model, new ServerOptions { Grace = TimeSpan.FromMinutes(1) });
        await using (small)
        using (http)
        {
            var running = http.PostAsJsonAsync("v1/chat/completions", Question(1500)); // long enough to be running still when the next ones have come, whatever else the machine does
            while (model.Engine.Status.Active == 0) await Task.Delay(1);
            var waiting = http.PostAsJsonAsync("api/generate", new { model = model.Name, prompt = "a", stream = false, options = new { num_predict = 3 } });
            while (model.Engine.Status.Queued == 0 && !waiting.IsCompleted) await Task.Delay(1);
            var refused = await http.PostAsJsonAsync("v1/chat/completions", Question(3));
            Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
            Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value.TotalSeconds, 1, 600);
            Assert.Equal("rate_limit_error", (await refused.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("error").GetProperty("type").GetString());

            var stopped = small.StopAsync();
            var late = await http.PostAsJsonAsync("v1/chat/completions", Question(3));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, late.StatusCode);
            var answer = await (await running).Content.ReadFromJsonAsync<JsonElement>();
            Assert.InRange(answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32(), 1, 1500);
            Assert.Contains(answer.GetProperty("choices")[0].GetProperty("finish_reason").GetString(), new[] { "stop", "length" });
            Assert.Equal(HttpStatusCode.OK, (await waiting).StatusCode);
            await stopped;
            await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync("healthz"));
        }
    }

    [Fact]
    public async Task An_answer_that_takes_too_long_ends_with_a_message()
    {
        var (hasty, http) = await Start(server.Model, new ServerOptions { Timeout = TimeSpan.FromMilliseconds(60) });
        await using (hasty)
        using (http)
        {
            var whole = await http.PostAsJsonAsync("v1/chat/completions", Question(7000));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, whole.StatusCode);
            Assert.Contains("longer than", await whole.Content.ReadAsStringAsync(), StringComparison.Ordinal);
            string streamed = await (await http.PostAsJsonAsync("v1/chat/completions", Question(7000, stream: true))).Content.ReadAsStringAsync();
            Assert.Contains("longer than", streamed.Split("\n\n", StringSplitOptions.RemoveEmptyEntries)[^1], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task The_live_view_tells_what_was_read()
    {
        string stream = await (await server.Http.PostAsJsonAsync("live/chat", new { messages = new[] { new { role = "user", content = string.Concat(Enumerable.Repeat("The wind was in the trees. ", 100)) } }, max_tokens = 3, trace = true })).Content.ReadAsStringAsync();
        var events = stream.Split("\n\n").Where(l => l.StartsWith("data: {", StringComparison.Ordinal)).Select(l => JsonDocument.Parse(l[6..]).RootElement).ToList();
        var trace = events[2].GetProperty("trace");
        Assert.Equal(server.Model.File.Config.Layers * server.Model.File.Config.KvHeads, trace.GetProperty("heads").GetArrayLength());
        Assert.InRange(trace.GetProperty("massKept").GetDouble(), 0.05, 1);
        Assert.Equal(96, trace.GetProperty("heads")[0].GetProperty("read").GetArrayLength());
        Assert.Equal("length", events[^1].GetProperty("done").GetString());
    }
}
