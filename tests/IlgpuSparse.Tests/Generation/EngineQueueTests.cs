using IlgpuSparse.Generation;
using static IlgpuSparse.Tests.Generation.EngineCase;

namespace IlgpuSparse.Tests.Generation;

/// <summary>Requests that share a decoder wait for their turn, end when they are told to and leave nothing behind, and are refused where they cannot be.</summary>
public sealed class EngineQueueTests : IDisposable
{
    private readonly EngineCase _case = new();

    [Fact]
    public async Task More_texts_than_the_cache_holds_wait_for_their_turn()
    {
        using var decoder = _case.Decoder(768, 8);
        using var engine = new GenerationEngine(decoder);
        var tickets = Enumerable.Range(0, 6).Select(i => engine.Submit(Request(i, 400, 100))).ToList();
        var texts = await Task.WhenAll(tickets.Select(Read));
        Assert.All(texts, t => Assert.Equal(100, t.Length));
        // in their order: none is overtaken
        Assert.Equal(tickets.Select(t => t.Statistics.QueueSeconds), tickets.Select(t => t.Statistics.QueueSeconds).Order());
    }

    [Fact]
    public async Task A_cancelled_text_stops_and_the_others_go_on()
    {
        using var decoder = _case.Decoder(4096, 3);
        int blocks = decoder.Cache.FreeBlocks;
        using (var engine = new GenerationEngine(decoder))
        {
            using var cancel = new CancellationTokenSource();
            var cancelled = engine.Submit(Request(1, 50, 1000), cancel.Token);
            var other = engine.Submit(Request(2, 50, 60));
            int seen = 0;
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            {
                await foreach (var token in cancelled)
                    if (++seen == 5) cancel.Cancel();
            });
            Assert.Equal(60, (await Read(other)).Length);
            Assert.Equal(FinishReason.Cancelled, cancelled.FinishReason);
            Assert.InRange(cancelled.Statistics.NewTokens, 5, 200);
        }
        Assert.Equal(blocks, decoder.Cache.FreeBlocks);
    }

    [Fact]
    public async Task A_full_queue_refuses_and_says_when_to_come_again()
    {
        using var decoder = _case.Decoder(16384, 1);
        using var engine = new GenerationEngine(decoder, new EngineOptions { QueueLimit = 2 });
        using var cancel = new CancellationTokenSource();
        var running = engine.Submit(Request(1, 10, 16000), cancel.Token); // long enough to be running still, whatever else the machine does
        while (engine.Status.Active == 0) await Task.Delay(1);
        engine.Submit(Request(2, 10, 5), cancel.Token);
        var last = engine.Submit(Request(3, 10, 5), cancel.Token);
        var e = Assert.Throws<EngineBusyException>(() => engine.Submit(Request(4, 10, 5)));
        Assert.InRange(e.RetryAfter!.Value.TotalSeconds, 1, 600);
        cancel.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Read(last));
        Assert.Equal(5, (await Read(engine.Submit(Request(4, 10, 5)))).Length);
    }

    [Fact]
    public async Task Stopping_lets_running_texts_end_and_takes_no_new_ones()
    {
        using var decoder = _case.Decoder(1024, 2);
        var engine = new GenerationEngine(decoder);
        var running = engine.Submit(Request(1, 10, 50));
        var stopped = engine.StopAsync(TimeSpan.FromMinutes(1));
        Assert.Null(Assert.Throws<EngineBusyException>(() => engine.Submit(Request(2, 10, 5))).RetryAfter);
        await stopped;
        Assert.Equal(50, (await Read(running)).Length);
        Assert.Equal(decoder.Cache.Blocks, decoder.Cache.FreeBlocks);
    }

    [Fact]
    public void Requests_that_cannot_be_are_refused()
    {
        using var decoder = _case.Decoder(256, 1);
        using var engine = new GenerationEngine(decoder);
        Assert.Contains("at least one", Assert.Throws<ArgumentException>(() => engine.Submit(new GenerationRequest { Prompt = [] })).Message, StringComparison.Ordinal);
        Assert.Contains("300", Assert.Throws<ArgumentException>(() => engine.Submit(Request(1, 300, 1))).Message, StringComparison.Ordinal);
        Assert.Contains("-5", Assert.Throws<ArgumentException>(() => engine.Submit(new GenerationRequest { Prompt = [-5] })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => engine.Submit(new GenerationRequest { Prompt = [1], Options = new GenerationOptions { Sampling = new SamplingOptions { Temperature = -1 } } }));
    }

    public void Dispose() => _case.Dispose();
}
