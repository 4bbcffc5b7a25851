using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The whole step, append, score, select, attend: with a budget that covers the context it is dense attention, whatever the labels say.</summary>
public sealed class DoubleSparsityPolicyTests : IDisposable
{
    private readonly int _seed = Random.Shared.Next();
    private readonly CpuBackend _backend = new(2);

    public static readonly TheoryData<string, int, int, int> Cases =
    [
        .. from label in new[] { "bits=16", "bits=8", "bits=4", "bits=2", "bits=1", "bits=8,scaling=token", "bits=4,scaling=token", "bits=2,scaling=token", "bits=1,scaling=token", "label=mixed,label-bits=37", "label=rotated,label-bits=64" }
           from heads in new[] { (Heads: 3, KvHeads: 3), (Heads: 6, KvHeads: 2), (Heads: 5, KvHeads: 1) }
           from headDim in new[] { 64, 80, 96, 128, 256 }
           select (label, heads.Heads, heads.KvHeads, headDim),
    ];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Covering_the_context_it_equals_dense_attention(string label, int heads, int kvHeads, int headDim)
    {
        var random = new Random(_seed);
        var config = SmallConfig.Of(heads, kvHeads, headDim, 2048);
        int[] lengths = [1, 17, 256, 259, random.Next(2, 700)];
        int channels = random.Next(1, headDim + 1);
        string sets = random.Next(2) == 0 ? "group" : "head", reduce = random.Next(2) == 0 ? "max" : "sum";
        string budget = random.Next(3) switch { 0 => "1/1", 1 => "701", _ => "100000" };
        var options = new DecoderOptions
        {
            Capacity = lengths.Length * 768,
            KvFormat = (KvFormat)random.Next(3),
            Attention = AttentionOptions.Parse($"double-sparsity:tokens={budget},{(label.StartsWith("label", StringComparison.Ordinal) ? "" : $"channels={channels},")}{label},budgets={(budget == "100000" ? "head" : "uniform")},sets={sets},reduce={reduce},sinks={random.Next(3)},window={random.Next(1, 9)}"),
            Channels = Channels(random, kvHeads, headDim),
            MaxSequences = lengths.Length,
            PrefillChunk = 700,
        };
        using var cache = new KvCache(_backend, config, options.KvFormat, options.Capacity);
        using var sparse = options.Attention.Create(_backend, config, cache, options);
        using var dense = AttentionOptions.Dense.Create(_backend, config, cache, options);
        var shape = new AttentionShape(heads, kvHeads, headDim);

        var sequences = lengths.Select(_ => cache.NewSequence()).ToArray();
        using (var chunk = new StepBatch(_backend, 700, 1, cache.Blocks))
        {
            for (int s = 0; s < lengths.Length; s++)
            {
                sequences[s].Reserve(lengths[s]);
                chunk.SetPrefill(0, lengths[s], sequences[s].Blocks);
                using var k = Upload(random, lengths[s] * kvHeads * headDim);
                using var v = Upload(random, lengths[s] * kvHeads * headDim);
                _backend.AppendKv(shape, cache.Layers[0], chunk, k, v);
                sparse.Append(0, chunk, k);
                _backend.Synchronize();
            }
        }
        using var step = new StepBatch(_backend, lengths.Length, lengths.Length, cache.Blocks);
        step.SetDecode([.. lengths.Select(l => l - 1)], [.. sequences.Select(s => s.Blocks)]);
        using var q = Upload(random, lengths.Length * heads * headDim);
        float[] expected = Attend(dense, step, q, heads * headDim), found = Attend(sparse, step, q, heads * headDim);
        double worst = expected.Zip(found, (a, b) => Math.Abs((double)a - b)).Max();
        Assert.True(worst < 2e-5, $"seed {_seed}, {options.Attention}, K and V in {options.KvFormat}: differs by {worst}");
        foreach (var sequence in sequences) sequence.Dispose();
    }

    private float[] Attend(AttentionPolicy policy, StepBatch step, DeviceBuffer q, int width)
    {
        var poison = new float[step.Rows * width];
        Array.Fill(poison, float.NaN);
        using var y = _backend.Allocate((long)poison.Length * sizeof(float), "test");
        ((DeviceSpan)y).Upload<float>(poison);
        policy.Attend(0, step, q, y);
        var result = new float[poison.Length];
        ((DeviceSpan)y).Download(result.AsSpan());
        return result;
    }

    private DeviceBuffer Upload(Random random, int count)
    {
        var buffer = _backend.Allocate((long)count * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(RandomWeights.Normals(random, count));
        return buffer;
    }

    private static ChannelMap Channels(Random random, int kvHeads, int headDim)
    {
        var heads = new HeadChannels[kvHeads];
        for (int h = 0; h < kvHeads; h++)
        {
            int[] ranking = [.. Enumerable.Range(0, headDim)];
            random.Shuffle(ranking);
            int directions = Math.Min(40, headDim);
            byte[] Rows() => LabelBasis.Pack(Enumerable.Range(0, directions).Select(_ => RandomWeights.Normals(random, headDim)));
            var basis = new LabelBasis([.. RandomWeights.Normals(random, directions).Select(Math.Abs)], RandomWeights.Normals(random, directions), [.. RandomWeights.Normals(random, directions).Select(Math.Abs)], Rows(), Rows());
            heads[h] = new HeadChannels(ranking, RandomWeights.Normals(random, headDim), RandomWeights.Normals(random, headDim), [.. RandomWeights.Normals(random, headDim).Select(Math.Abs)], basis, Held: [.. TokenSplit.Shares.Select(s => (float)Math.Pow(s, random.NextDouble()))]);
        }
        return new ChannelMap("test", "variance", headDim, RopeStyle.HalfSplit, null, [heads]);
    }

    public void Dispose()
    {
        _backend.Dispose();
        Assert.Equal(0, _backend.Memory.LiveBytes);
    }
}
