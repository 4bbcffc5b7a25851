using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using static IlgpuSparse.Tests.Attention.OnlineCalibrationCase;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Whose the channel maps of texts are: of sequences beside each other, of forks, of texts that are taken back or come back.</summary>
public sealed class MappedTextTests : IDisposable
{
    private readonly OnlineCalibrationCase _case = new();

    [Fact]
    public void Sequences_of_a_batch_have_maps_of_their_own_and_forks_share_one()
    {
        var retrieval = new RetrievalText(t => _case.Tokenizer.Encode(t, addBos: false), 3);
        int[][] prompts = [_case.Prose[..600], retrieval.Lines(900, 1).Context[..500], _case.Prose[2000..2030]], next = [_case.Prose[600..608], _case.Prose[608..616], _case.Prose[2030..2038]];
        var alone = new List<float[][]>();
        for (int i = 0; i < prompts.Length; i++)
        {
            using var decoder = _case.Decoder("label=mixed,tokens=1/16,mean-value=on");
            alone.Add(Run(decoder, prompts[i], next[i]));
        }
        using var together = _case.Decoder("label=mixed,tokens=1/16,mean-value=on", sequences: 3);
        CacheSequence[] sequences = [.. prompts.Select(_ => together.NewSequence())];
        for (int i = 0; i < prompts.Length; i++) together.Prefill(sequences[i], prompts[i]);
        int vocabulary = _case.Weights.Config.VocabularySize;
        for (int step = 0; step < next[0].Length; step++)
        {
            float[] logits = together.Decode(sequences, [.. next.Select(n => n[step])]).ToArray();
            for (int i = 0; i < prompts.Length; i++) AssertClose(alone[i][step], logits.AsSpan(i * vocabulary, vocabulary).ToArray());
        }
        // the third is too short for a map: it attends to every token
        Assert.Equal(2, together.Policy.CalibratedMaps);
        sequences[1].Dispose();
        using var fork = sequences[0].Fork(512);
        together.Prefill(fork, prompts[0].AsSpan(512));
        float[] both = together.Decode([sequences[0], fork], [5, 5]).ToArray();
        Assert.Equal(2, together.Policy.CalibratedMaps);
        Assert.Equal(2 * vocabulary, both.Length);
        foreach (var sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void A_sequence_that_is_taken_back_goes_on_as_before()
    {
        int[] prompt = _case.Prose[..600], question = _case.Prose[600..640], other = _case.Prose[900..1000];
        using var decoder = _case.Decoder("label=mixed,tokens=1/16,drift=0.0001");
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        decoder.Policy.Mark();
        float[][] first = Steps(decoder, sequence, question);
        foreach (int[] tokens in (int[][])[other, question])
        {
            sequence.Rewind(prompt.Length);
            decoder.Policy.Return();
            float[][] again = Steps(decoder, sequence, tokens);
            if (tokens == question)
                for (int i = 0; i < question.Length; i++) Assert.Equal(first[i], again[i]);
        }
        // without a mark, too, it goes on; another text in its place has a map of its own
        sequence.Rewind(100);
        decoder.Prefill(sequence, prompt.AsSpan(100));
        Assert.All(Steps(decoder, sequence, question), logits => Assert.All(logits, x => Assert.True(float.IsFinite(x))));
        int maps = decoder.Policy.CalibratedMaps;
        sequence.Rewind(0);
        decoder.Prefill(sequence, other);
        decoder.Decode([sequence], [7]);
        Assert.Equal(maps + 1, decoder.Policy.CalibratedMaps);
    }

    /// <summary>More texts than maps are kept for: one that comes back begins anew with the keys that it has.</summary>
    [Fact]
    public void Maps_are_bounded_and_texts_that_come_back_get_a_new_one()
    {
        using var decoder = _case.Decoder("label=mixed,tokens=1/1", KvFormat.F32, capacity: 8 * 256);
        var sequences = new List<CacheSequence>();
        for (int i = 0; i < 6; i++)
        {
            sequences.Add(decoder.NewSequence());
            decoder.Prefill(sequences[i], _case.Prose.AsSpan(200 * i, 100));
            decoder.Decode([sequences[i]], [9]);
        }
        long bytes = _case.Backend.Memory.ByPurpose["labels"];
        float[] found = decoder.Decode([sequences[0]], [11]).ToArray();
        Assert.Equal(7, decoder.Policy.CalibratedMaps);
        Assert.Equal(bytes, _case.Backend.Memory.ByPurpose["labels"]);
        using var dense = new LlamaDecoder(_case.Backend, _case.Weights, Options("dense", KvFormat.F32));
        AssertClose(Run(dense, _case.Prose[..100], [9, 11])[1], found);
        foreach (var sequence in sequences) sequence.Dispose();
    }

    [Fact]
    public void State_files_are_refused_with_the_way_out()
    {
        using var decoder = _case.Decoder("label=mixed");
        using var generator = new Generator(decoder);
        foreach (int _ in generator.Generate(_case.Prose[..100], new GenerationOptions { MaxTokens = 3 })) { }
        Assert.Equal(1, generator.Statistics.CalibratedMaps);
        Assert.True(generator.Statistics.CalibrationSeconds > 0);
        string path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Assert.Contains("calibrate", Assert.Throws<NotSupportedException>(() => generator.SaveState(path, _case.Model.Fingerprint)).Message, StringComparison.Ordinal);
        Assert.False(File.Exists(path));
    }

    /// <summary>Greedy texts beside others are what they are alone, traced or not; a prompt that begins like one of them starts from its blocks and map.</summary>
    [Fact]
    public async Task Texts_of_an_engine_are_what_they_are_alone()
    {
        int[][] prompts = [_case.Prose[..600], _case.Prose[3000..3550]];
        var greedy = new GenerationOptions { MaxTokens = 8, Sampling = new SamplingOptions { Temperature = 0 } };
        var alone = new List<int[]>();
        foreach (int[] prompt in prompts)
        {
            using var one = _case.Decoder("label=mixed,dense-below=200");
            using var generator = new Generator(one);
            alone.Add([.. generator.Generate(prompt, greedy)]);
        }
        using var decoder = _case.Decoder("label=mixed,dense-below=200", sequences: 2);
        using var engine = new GenerationEngine(decoder);
        var tickets = prompts.Select(p => engine.Submit(new GenerationRequest { Prompt = p, Options = greedy, TraceAttention = true }, TestContext.Current.CancellationToken)).ToList();
        for (int i = 0; i < tickets.Count; i++)
        {
            var tokens = new List<GeneratedToken>();
            await foreach (var token in tickets[i]) tokens.Add(token);
            Assert.Equal(alone[i], tokens.Select(t => t.Id));
            Assert.All(tokens[^1].Trace!.Heads, head => Assert.Equal((prompts[i].Length + 7 + 15) / 16, head.Positions!.Count));
        }
        var again = engine.Submit(new GenerationRequest { Prompt = [.. prompts[0], .. alone[0], 5, 6, 7], Options = greedy }, TestContext.Current.CancellationToken);
        await foreach (var _ in again) { }
        Assert.True(again.Statistics.ReusedTokens > 600);
        Assert.Equal(2, decoder.Policy.CalibratedMaps);
    }

    public void Dispose() => _case.Dispose();
}
