using System.Text.Json;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Llama;

/// <summary>The decoder against logits that Hugging Face transformers computed in fp32 from the same tiny checkpoints, with K and V in fp32; derived classes say on which backend.</summary>
public abstract class CheckpointOracleTests
{
    public static readonly TheoryData<string> Checkpoints = ["llama-mha", "llama3-rope", "llama-gqa-bf16-sharded", "mixtral"];

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void Logits_match_the_reference(string name)
    {
        var reference = Reference.Read(name);
        using var run = new Run(CreateBackend(), name);
        using var sequence = run.Decoder.NewSequence();
        var all = new float[reference.Ids.Length][];
        run.Decoder.PrefillAll(sequence, reference.Ids, (i, logits) => all[i] = logits.ToArray());
        Assert.True(Largest(all[^1], reference.LogitsLast) <= 2e-3, $"last position differs by {Largest(all[^1], reference.LogitsLast)}");
        Assert.True(Largest(all[40], reference.LogitsPos40) <= 2e-3, $"position 40 differs by {Largest(all[40], reference.LogitsPos40)}");
        Assert.Equal(reference.Argmax, all.Select(l => Array.IndexOf(l, l.Max())));
        for (int i = 0; i < all.Length; i++) Assert.Equal(reference.LogSumExp[i], LogSumExp(all[i]), 2e-3);
    }

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void Greedy_continuation_matches_the_reference(string name)
    {
        var reference = Reference.Read(name);
        using var run = new Run(CreateBackend(), name);
        using var sequence = run.Decoder.NewSequence();
        var logits = run.Decoder.Prefill(sequence, reference.Ids.AsSpan(0, reference.GreedyPromptLength));
        var greedy = new List<int>();
        while (true)
        {
            greedy.Add(logits.IndexOf(Max(logits)));
            if (greedy.Count == reference.Greedy.Length) break;
            logits = run.Decoder.Decode([sequence], new int[] { greedy[^1] });
        }
        Assert.Equal(reference.Greedy, greedy);
    }

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void Any_chunking_of_the_prompt_gives_the_same_logits(string name)
    {
        var reference = Reference.Read(name);
        foreach (int chunk in new[] { 1, 7, 32 })
        {
            using var run = new Run(CreateBackend(), name, chunk);
            using var sequence = run.Decoder.NewSequence();
            var logits = run.Decoder.Prefill(sequence, reference.Ids).ToArray();
            Assert.True(Largest(logits, reference.LogitsLast) <= 2e-3, $"chunks of {chunk} differ by {Largest(logits, reference.LogitsLast)}");
        }
    }

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void Sequences_of_different_lengths_decode_together_as_alone(string name)
    {
        var reference = Reference.Read(name);
        int[] lengths = [5, 40, 63];
        using var run = new Run(CreateBackend(), name, 512, sequences: 3);
        var sequences = lengths.Select(_ => run.Decoder.NewSequence()).ToArray();
        for (int i = 0; i < lengths.Length; i++) run.Decoder.Prefill(sequences[i], reference.Ids.AsSpan(0, lengths[i]));
        for (int step = 0; step < 3; step++)
        {
            int[] tokens = [.. lengths.Select(n => reference.Ids[n + step])];
            var together = run.Decoder.Decode(sequences, tokens).ToArray();
            for (int i = 0; i < lengths.Length; i++)
            {
                using var alone = run.Decoder.NewSequence();
                var expected = run.Decoder.Prefill(alone, reference.Ids.AsSpan(0, lengths[i] + step + 1)).ToArray();
                Assert.True(Largest(together[(i * expected.Length)..((i + 1) * expected.Length)], expected) <= 1e-3, $"sequence {i} at step {step}");
            }
        }
        foreach (var sequence in sequences) sequence.Dispose();
        Assert.Equal(run.Decoder.Cache.Blocks, run.Decoder.Cache.FreeBlocks);
    }

    /// <summary>The backend of a run, which disposes it.</summary>
    protected abstract ComputeBackend CreateBackend();

    private static float Max(ReadOnlySpan<float> values)
    {
        float max = values[0];
        foreach (float v in values) max = Math.Max(max, v);
        return max;
    }

    private static double Largest(float[] a, float[] b) => a.Zip(b, (x, y) => Math.Abs((double)x - y)).Max();

    private static double LogSumExp(float[] logits) => logits.Max() + Math.Log(logits.Sum(x => Math.Exp(x - logits.Max())));

    private sealed class Run : IDisposable
    {
        private readonly ModelFile _model;
        private readonly ComputeBackend _backend;
        private readonly LlamaWeights _weights;

        public Run(ComputeBackend backend, string name, int chunk = 512, int sequences = 1)
        {
            _backend = backend;
            _model = ModelFile.Open(TestFiles.Data("checkpoints", name));
            _weights = LlamaWeights.Load(_backend, _model);
            Decoder = new LlamaDecoder(_backend, _weights, new DecoderOptions { Capacity = 1024 + 256 * sequences, KvFormat = KvFormat.F32, PrefillChunk = chunk, MaxSequences = sequences });
        }

        public LlamaDecoder Decoder { get; }

        public void Dispose()
        {
            Decoder.Dispose();
            _weights.Dispose();
            _backend.Dispose();
            // kernels' own scratch memory goes with the backend
            Assert.Equal(0, _backend.Memory.LiveBytes);
            _model.Dispose();
        }
    }

    private sealed record Reference(int[] Ids, float[] LogitsLast, float[] LogitsPos40, int[] Argmax, double[] LogSumExp, int GreedyPromptLength, int[] Greedy)
    {
        public static Reference Read(string name)
        {
            using var json = JsonDocument.Parse(File.ReadAllText(TestFiles.Data("checkpoints", name, "reference.json")));
            T Get<T>(string key) => json.RootElement.GetProperty(key).Deserialize<T>()!;
            return new(Get<int[]>("ids"), Get<float[]>("logits_last"), Get<float[]>("logits_pos40"), Get<int[]>("argmax"), Get<double[]>("logsumexp"), Get<int>("greedy_prompt_len"), Get<int[]>("greedy"));
        }
    }
}
