using IlgpuSparse.Generation;
using static IlgpuSparse.Tests.Generation.EngineCase;

namespace IlgpuSparse.Tests.Generation;

/// <summary>Texts that share a decoder come out as if each had it for itself.</summary>
public sealed class GenerationEngineTests : IDisposable
{
    private readonly EngineCase _case = new();

    [Fact]
    public async Task Texts_of_all_lengths_come_out_as_if_each_were_alone()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 12).Select(i => Request(100 + i, 1 + 37 * i, 3 + 5 * i % 17, i % 3 == 0 ? 0 : 0.8f))];
        int[][] expected;
        using (var lone = _case.Decoder(2048, 1)) expected = [.. requests.Select(r => Alone(lone, r))]; // one at a time: a backend is not for several threads
        using var decoder = _case.Decoder(3072, 5);
        int blocks = decoder.Cache.FreeBlocks;
        using (var engine = new GenerationEngine(decoder))
        {
            var tickets = requests.Select(r => engine.Submit(r)).ToList();
            for (int i = 0; i < requests.Length; i++)
            {
                Assert.Equal(expected[i], await Read(tickets[i]));
                Assert.Equal(FinishReason.Length, tickets[i].FinishReason);
                Assert.Equal(requests[i].Prompt.Count, tickets[i].Statistics.PromptTokens + tickets[i].Statistics.ReusedTokens);
            }
        }
        Assert.Equal(blocks, decoder.Cache.FreeBlocks);
    }

    [Fact]
    public async Task Full_attention_can_be_asked_for_beside_sparse_texts()
    {
        GenerationRequest sparse = Request(7, 300, 20), full = sparse with { FullAttention = true };
        int[] expected;
        using (var dense = _case.Decoder(1024, 1, "dense")) expected = Alone(dense, full);
        using var decoder = _case.Decoder(2048, 4);
        using var engine = new GenerationEngine(decoder);
        var tickets = new[] { engine.Submit(sparse), engine.Submit(full), engine.Submit(Request(8, 200, 20)) };
        var texts = await Task.WhenAll(tickets.Select(Read));
        Assert.Equal(expected, texts[1]);
        Assert.Equal(1, tickets[1].Statistics.Density);
        Assert.InRange(tickets[0].Statistics.Density, 0.1, 0.3);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.8f)]
    public async Task A_text_whose_steps_are_queued_goes_on_when_others_join(float temperature)
    {
        GenerationRequest first = Request(1, 60, 60, temperature), second = Request(2, 40, 10, temperature), penalised = Request(3, 40, 10, temperature);
        penalised = penalised with { Options = penalised.Options with { Sampling = penalised.Options.Sampling with { RepetitionPenalty = 1.2f } } };
        int[][] expected;
        using (var lone = _case.Decoder(1024, 1)) expected = [Alone(lone, first), Alone(lone, second), Alone(lone, penalised)];
        using var decoder = _case.Decoder(2048, 4);
        decoder.QueuesSteps = true; // as where steps are recorded
        using var engine = new GenerationEngine(decoder);
        var ids = new List<int>();
        var others = new List<Task<int[]>>();
        await foreach (var token in engine.Submit(first))
        {
            ids.Add(token.Id);
            if (ids.Count is 5 or 30) others.Add(Read(engine.Submit(ids.Count == 5 ? second : penalised)));
        }
        Assert.Equal(expected[0], ids);
        Assert.Equal(expected[1..], await Task.WhenAll(others));
    }

    [Fact]
    public async Task Short_contexts_stay_dense_beside_long_ones()
    {
        const string Attention = "double-sparsity:tokens=1/8,dense-below=256";
        GenerationRequest[] requests = [Request(1, 20, 20), Request(2, 250, 20), Request(3, 400, 20)];
        int[][] expected;
        using (var lone = _case.Decoder(1024, 1, Attention)) expected = [.. requests.Select(r => Alone(lone, r))];
        using var decoder = _case.Decoder(2048, 4, Attention);
        using var engine = new GenerationEngine(decoder);
        var texts = await Task.WhenAll(requests.Select(r => engine.Submit(r)).ToList().Select(Read));
        Assert.Equal(expected, texts);
    }

    [Fact]
    public async Task A_prompt_that_begins_like_an_earlier_text_starts_from_its_cache()
    {
        using var lone = _case.Decoder(2048, 1);
        using var decoder = _case.Decoder(4096, 2);
        using var engine = new GenerationEngine(decoder);
        var first = Request(1, 700, 6);
        int[] answer = await Read(engine.Submit(first));

        // the conversation goes on: all but the last token drawn is there
        var second = first with { Prompt = [.. first.Prompt, .. answer, 500, 600, 700] };
        var ticket = engine.Submit(second);
        await Read(ticket);
        Assert.Equal(705, ticket.Statistics.ReusedTokens);
        Assert.Equal(4, ticket.Statistics.PromptTokens);

        // another question about the same text; the sparse answer before is no part of it
        var third = Request(2, 1, 5) with { Prompt = [.. first.Prompt.Take(690), 800, 900] };
        ticket = engine.Submit(third);
        Assert.Equal(Alone(lone, third), await Read(ticket));
        Assert.InRange(ticket.Statistics.ReusedTokens, 512, 690);

        // the very same again: only the last token's logits are missing
        ticket = engine.Submit(third);
        Assert.Equal(Alone(lone, third), await Read(ticket));
        Assert.Equal(691, ticket.Statistics.ReusedTokens);
    }

    [Fact]
    public async Task Keys_of_a_sparse_answer_are_not_taken_for_full_attention()
    {
        using var decoder = _case.Decoder(4096, 2);
        using var engine = new GenerationEngine(decoder);
        var first = Request(1, 600, 30);
        int[] answer = await Read(engine.Submit(first));
        var ticket = engine.Submit(first with { Prompt = [.. first.Prompt, .. answer, 500], FullAttention = true });
        await Read(ticket);
        Assert.InRange(ticket.Statistics.ReusedTokens, 512, 600);
    }

    [Fact]
    public async Task Requests_that_share_a_beginning_share_its_blocks_while_they_run()
    {
        using var decoder = _case.Decoder(2048, 8); // eight blocks: two of these texts would not fit beside each other
        using var engine = new GenerationEngine(decoder);
        int[] book = [.. Request(3, 1100, 1).Prompt];
        var tickets = Enumerable.Range(0, 4).Select(i => engine.Submit(Request(i, 1, 20) with { Prompt = [.. book, 400 + i] })).ToList();
        await Task.WhenAll(tickets.Select(Read));
        Assert.Equal(0, tickets[0].Statistics.ReusedTokens);
        Assert.All(tickets.Skip(1), t => Assert.InRange(t.Statistics.ReusedTokens, 1024, 1100));
    }

    [Fact]
    public async Task Log_probabilities_are_those_of_the_logits()
    {
        using var decoder = _case.Decoder(512, 2);
        using var engine = new GenerationEngine(decoder);
        var request = Request(5, 20, 4, 0) with { TopLogProbabilities = 5 };
        var tokens = new List<GeneratedToken>();
        await foreach (var token in engine.Submit(request)) tokens.Add(token);
        using var lone = _case.Decoder(512, 1);
        using var sequence = lone.NewSequence();
        float[] logits = lone.Prefill(sequence, [.. request.Prompt]).ToArray();
        double sum = logits.Sum(l => Math.Exp((double)l));
        int[] best = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).Take(5)];
        Assert.Equal(best, tokens[0].MostLikely.Select(t => t.Id));
        Assert.All(tokens[0].MostLikely, t => Assert.Equal(logits[t.Id] - Math.Log(sum), t.LogProbability, 1e-4));
        Assert.All(tokens, t => Assert.Equal(t.Id, t.MostLikely[0].Id));
        Assert.All(tokens, t => Assert.Equal(t.LogProbability, t.MostLikely[0].LogProbability));
    }

    [Theory]
    [InlineData("dense", 1)]
    [InlineData("double-sparsity:tokens=1/1", 1)]
    [InlineData("oracle:tokens=1/8", 0.3)]
    [InlineData("double-sparsity:tokens=1/8,dense-layers=2", 0.2)]
    public async Task A_trace_tells_what_was_read_and_what_that_holds(string attention, float leastMass)
    {
        using var decoder = _case.Decoder(1024, 2, attention);
        using var engine = new GenerationEngine(decoder);
        var traced = new List<GeneratedToken>();
        await foreach (var token in engine.Submit(Request(5, 400, 4) with { TraceAttention = true })) traced.Add(token);
        Assert.Null(traced[0].Trace);
        for (int i = 1; i < traced.Count; i++)
        {
            var trace = traced[i].Trace!;
            int length = 400 + i;
            Assert.Equal(length - 1, trace.Position);
            Assert.Equal(Enumerable.Range(0, decoder.Config.Layers), trace.Heads.Select(h => h.Layer).Distinct());
            Assert.All(trace.Heads, head =>
            {
                Assert.Equal(1, head.Heat.Sum(), 1e-3);
                Assert.InRange(head.MassKept, leastMass, 1.0001f);
                int read = head.Positions?.Count ?? length;
                Assert.Equal(attention.Contains("1/8", StringComparison.Ordinal) && !(attention.Contains("dense-layers", StringComparison.Ordinal) && head.Layer < 2) ? (length + 7) / 8 : length, read);
                if (head.Positions is not null) Assert.Equal(length - 1, head.Positions[^1]);
            });
        }
    }

    public void Dispose() => _case.Dispose();
}
