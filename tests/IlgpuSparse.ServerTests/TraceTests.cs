using System.Net.Http.Json;
using System.Text.Json;
using IlgpuSparse.Cli.Serving;

namespace IlgpuSparse.ServerTests;

/// <summary>Traces as a collector gets them.</summary>
public class TraceTests(ServerFixture server)
{
    [Theory]
    [InlineData("grpc")]
    [InlineData("http/protobuf")]
    public async Task Each_answer_is_exported_as_a_span_with_what_it_took(string protocol)
    {
        await using var collector = await OtlpReceiver.StartAsync(protocol == "grpc");
        string text = string.Concat(Enumerable.Repeat($"The wind was in the trees ({protocol}). ", 100));
        JsonElement first, second;
        var other = await StartAsync(collector.Address, protocol);
        await using (other)
        {
            using var http = new HttpClient { BaseAddress = other.Address };
            first = await Ask(http, text + "It");
            second = await Ask(http, text + "She");
        }

        // what was under way to the collector has arrived when the server is gone
        var spans = collector.Spans.Where(s => s.Name == "generate").ToArray();
        Assert.Equal(2, spans.Length);
        foreach (var (span, usage) in spans.Zip([first, second]))
        {
            Assert.Equal("ilgpusparse", span.Service);
            var request = Assert.Single(collector.Spans, s => s.Id == span.Parent);
            Assert.Equal((span.Trace, "POST /v1/completions"), (request.Trace, request.Name));
            var values = span.Attributes.Where(a => a.Key.StartsWith("ilgpusparse.", StringComparison.Ordinal)).ToDictionary(a => a.Key["ilgpusparse.".Length..], a => a.Value);
            Assert.Equal(usage.GetProperty("prompt_tokens").GetInt64(), values["prompt_tokens"]);
            Assert.Equal(usage.GetProperty("completion_tokens").GetInt64(), values["new_tokens"]);
            Assert.Equal(usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt64(), values["reused_tokens"]);
            Assert.Equal("length", values["outcome"]);
            double density = (double)values["density"], queue = (double)values["queue_seconds"], firstToken = (double)values["first_token_seconds"];
            Assert.InRange(density, 0.05, 0.5);
            Assert.InRange(queue, 0, firstToken);
            // at the density told, of K and V in fp32 of the tokens at each of the 4 steps
            var c = server.Model.File.Config;
            double dense = Enumerable.Range(0, 4).Sum(i => usage.GetProperty("prompt_tokens").GetInt64() + 1.0 + i) * c.Layers * c.KvHeads * c.HeadDim * 2 * sizeof(float);
            Assert.Equal(density * dense, (long)values["cache_bytes_read"], 1.0);
        }
        Assert.InRange((long)spans[0].Attributes["ilgpusparse.reused_tokens"], 0, 50);
        Assert.InRange((long)spans[1].Attributes["ilgpusparse.reused_tokens"], 1000, 5000);
    }

    // The exporter reads its settings from the environment, when the server starts.
    private async Task<ChatServer> StartAsync(string collector, string protocol)
    {
        (string Name, string Value)[] settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        foreach (var (name, value) in settings) Environment.SetEnvironmentVariable(name, value);
        try
        {
            return await ChatServer.StartAsync(server.Model, new ServerOptions { Port = 0 });
        }
        finally
        {
            foreach (var (name, _) in settings) Environment.SetEnvironmentVariable(name, null);
        }
    }

    private static async Task<JsonElement> Ask(HttpClient http, string prompt) =>
        (await (await http.PostAsJsonAsync("v1/completions", new { prompt, max_tokens = 5, temperature = 0 })).EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>()).GetProperty("usage");
}
