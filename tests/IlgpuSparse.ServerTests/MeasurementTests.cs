using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Serving;

namespace IlgpuSparse.ServerTests;

/// <summary>Numbers of docs/numbers/server.md; only when asked for by name (<c>-explicit only</c>), since they want a quiet machine. BACKEND says what computes, MODEL with which model.</summary>
public class MeasurementTests(ITestOutputHelper output)
{
    private static ChatModel Open(int parallel, int context) => ChatModel.Open(Environment.GetEnvironmentVariable("MODEL") is { Length: > 0 } path ? path : ServerFixture.ModelPath, new ChatModelOptions { Backend = ServerFixture.Backend, Parallel = parallel, Context = context });

    private static async Task<JsonElement> Complete(HttpClient http, string prompt, int tokens) =>
        await (await http.PostAsJsonAsync("v1/completions", new { prompt, max_tokens = tokens, temperature = 0 })).EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>();

    [Fact(Explicit = true)]
    public async Task Tokens_a_second_of_1_to_64_at_once()
    {
        string novel = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "models", "prompt.txt"));
        foreach (int characters in new[] { 200, 4000 })
        {
            using var model = Open(64, 64 * 2048);
            await using var server = await ChatServer.StartAsync(model, new ServerOptions { Port = 0 });
            using var http = new HttpClient { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(10) };
            await Complete(http, "Once", 32);
            double one = 0;
            foreach (int count in new[] { 1, 8, 16, 64 })
            {
                // different beginnings, computed before the clock starts, kernels and recordings for as many rows made, and the runtime's own second thoughts about code that is used often: it is the decoding that is measured
                string[] prompts = [.. Enumerable.Range(0, count).Select(i => $"Part {i}. {novel.Substring(100 * i, characters)}")];
                const int Tokens = 256;
                for (int i = 0; i < 2; i++) await Task.WhenAll(prompts.Select(p => Complete(http, p, Tokens)));
                var watch = Stopwatch.StartNew();
                var answers = await Task.WhenAll(prompts.Select(p => Complete(http, p, Tokens)));
                double rate = answers.Sum(a => a.GetProperty("usage").GetProperty("completion_tokens").GetInt32()) / watch.Elapsed.TotalSeconds;
                if (count == 1) one = rate;
                output.WriteLine($"prompts of {model.Tokenizer.Encode(prompts[0]).Length} tokens, {count} at once: {rate:0.0} tokens/s, {rate / one:0.00}x one");
            }
        }
    }

    [Fact(Explicit = true)]
    public async Task Time_to_the_first_token_behind_a_shared_prefix()
    {
        using var model = Open(2, 16384);
        await using var server = await ChatServer.StartAsync(model, new ServerOptions { Port = 0 });
        using var http = new HttpClient { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(10) };
        string novel = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "models", "prompt.txt"));
        string prefix = model.Tokenizer.Decode(model.Tokenizer.Encode(novel).AsSpan(1, 6000));
        await Complete(http, "Once upon a time", 8);
        double first = 0;
        foreach (string question in new[] { "\n\nWho came to the door?", "\n\nWhat did she say to him?", "\n\nWhere did they go?" })
        {
            var watch = Stopwatch.StartNew();
            var answer = await Complete(http, prefix + question, 1);
            double seconds = watch.Elapsed.TotalSeconds;
            if (first == 0) first = seconds;
            var usage = answer.GetProperty("usage");
            output.WriteLine($"{usage.GetProperty("prompt_tokens")} tokens, {usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens")} from the cache: first token after {1000 * seconds:0} ms, {seconds / first:0.0 %} of the first request");
        }
    }
}
