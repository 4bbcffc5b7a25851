using System.ClientModel;
using System.Collections.Concurrent;
using System.Diagnostics;
using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Serving;
using IlgpuSparse.Generation;
using OllamaSharp;
using OllamaSharp.Models;
using OpenAI;
using OpenAI.Chat;

namespace IlgpuSparse.ServerTests;

/// <summary>Many requests by both clients, some given up in the middle: every answer whole and its own, nothing kept that was for one request. SOAK_REQUESTS says how many; docs/numbers has what 10,000 gave.</summary>
public class SoakTests(ITestOutputHelper output)
{
    private const int Questions = 16, AtOnce = 16;

    private static string Question(int i) => $"{(i % 3 == 0 ? "It was in the year of the great storm that the captain came home. " : "")}Chapter {i}. The old house by the sea, and the people who";

    private static int Tokens(int i) => 6 + i % 11;

    [Fact]
    public async Task Nothing_leaks_and_nothing_is_mixed_up()
    {
        int requests = int.TryParse(Environment.GetEnvironmentVariable("SOAK_REQUESTS"), out int given) ? given : 150;
        using var model = ServerFixture.Open(new ChatModelOptions { Parallel = 8, Context = 4096, Engine = new EngineOptions { QueueLimit = 1000, KeptPrefixes = 8 } });
        await using var server = await ChatServer.StartAsync(model, new ServerOptions { Port = 0 });
        var openAi = new ChatClient(model.Name, new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1"), NetworkTimeout = TimeSpan.FromMinutes(10) });
        using var ollama = new OllamaApiClient(new HttpClient { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(10) }, model.Name);
        string[] alone = new string[Questions];
        for (int i = 0; i < Questions; i++) alone[i] = await Ask(i, i % 3, default);
        // the same model is asked by three ways: they agree when nothing else runs
        for (int i = 0; i < Questions; i++) Assert.Equal(alone[i], await Ask(i, (i + 1) % 3, default));

        int answered = 0, cancelled = 0, different = 0;
        var memory = new ConcurrentQueue<(int Done, long Managed, long Device)>();
        long device = model.Backend.Memory.LiveBytes;
        int next = -1;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, AtOnce).Select(async _ =>
        {
            for (int i; (i = Interlocked.Increment(ref next)) < requests;)
            {
                int question = i % Questions;
                bool givesUp = i % 4 == 3;
                using var cancel = new CancellationTokenSource();
                try
                {
                    string text = await Ask(question, i % 3, cancel.Token, givesUp ? cancel : null);
                    if (givesUp)
                    {
                        Interlocked.Increment(ref cancelled);
                        continue;
                    }
                    Interlocked.Increment(ref answered);
                    if (text != alone[question])
                    {
                        Interlocked.Increment(ref different);
                        output.WriteLine($"{question}: '{text}' instead of '{alone[question]}'");
                        // a draw on the edge went the other way; somebody else's answer would be another from the first token on
                        Assert.Equal(alone[question][..3], text[..3]);
                    }
                }
                catch (OperationCanceledException) when (givesUp)
                {
                    Interlocked.Increment(ref cancelled);
                }
                if (i > 0 && i % Math.Max(50, requests / 20) == 0) memory.Enqueue((i, GC.GetTotalMemory(forceFullCollection: true), model.Backend.Memory.LiveBytes));
            }
        }));
        for (int i = 0; i < 6000 && model.Engine.Status.Active > 0; i++) await Task.Delay(10);
        output.WriteLine($"{requests:N0} requests in {watch.Elapsed.TotalSeconds:0} s: {answered:N0} answered, {cancelled:N0} given up, {different} unlike the answer given alone");
        foreach (var (done, managed, live) in memory) output.WriteLine($"after {done:N0}: managed {managed / 1e6:0.0} MB, device {live / 1e6:0.0} MB");
        Assert.Equal(requests, answered + cancelled);
        Assert.True(cancelled > 0);
        Assert.InRange(different, 0, requests / 100);
        Assert.InRange(model.Backend.Memory.LiveBytes, device, device + (1 << 20)); // the caches are there from the start; scratch grows to the largest batch
        var status = model.Engine.Status;
        Assert.Equal((0, 0), (status.Active, status.Queued));
        Assert.InRange(status.Prefixes, 1, 8);
        if (memory.Count > 4) Assert.InRange(memory.Last().Managed, 0, memory.Skip(1).First().Managed + 20_000_000);

        async Task<string> Ask(int i, int way, CancellationToken cancellation, CancellationTokenSource? giveUp = null)
        {
            string text = "";
            if (way == 2)
            {
                var options = new RequestOptions { Seed = i, NumPredict = Tokens(i), Temperature = 0.8f, TopP = 0.9f, TopK = 0 };
                await foreach (var part in ollama.GenerateAsync(new GenerateRequest { Model = model.Name, Prompt = Question(i), Stream = true, Options = options }, cancellation))
                {
                    text += part?.Response;
                    giveUp?.Cancel();
                }
                return text;
            }
#pragma warning disable OPENAI001 // the seed is experimental there
            var chat = new ChatCompletionOptions { Seed = i, MaxOutputTokenCount = Tokens(i), Temperature = 0.8f, TopP = 0.9f };
#pragma warning restore OPENAI001
            if (way == 1 && giveUp is null) return (await openAi.CompleteChatAsync([new UserChatMessage(Question(i))], chat, cancellation)).Value.Content[0].Text;
            await foreach (var update in openAi.CompleteChatStreamingAsync([new UserChatMessage(Question(i))], chat, cancellation))
            {
                text += string.Concat(update.ContentUpdate.Select(c => c.Text));
                giveUp?.Cancel();
            }
            return text;
        }
    }
}
