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

/// <summary>A sequence of random keys, values and queries in a cache, prefilled in chunks and then attended to step by step by one policy: what its choices are held against.</summary>
internal sealed class HostPolicyCase : IDisposable
{
    private readonly CpuBackend _backend = new(2);
    private readonly KvCache _cache;
    private readonly CacheSequence _sequence;
    private readonly AttentionShape _shape;

    public HostPolicyCase(Random random, string attention, int length, int heads, int kvHeads, int headDim, int prefilled, ChannelMap? map = null, RopeStyle style = RopeStyle.HalfSplit)
    {
        Config = SmallConfig.Of(heads, kvHeads, headDim, 2048) with { RopeStyle = style };
        Options = AttentionOptions.Parse(attention);
        var decoder = new DecoderOptions { Capacity = length, MaxSequences = length, Attention = Options, Channels = map, KvFormat = KvFormat.F32 };
        _cache = new KvCache(_backend, Config, decoder.KvFormat, decoder.Capacity);
        Policy = Options.Create(_backend, Config, _cache, decoder);
        _sequence = _cache.NewSequence();
        _sequence.Reserve(length);
        _shape = new AttentionShape(heads, kvHeads, headDim);
        Length = length;
        // as policies keep them
        Keys = [.. RandomWeights.Normals(random, length * kvHeads * headDim).Select(k => (float)(Half)k)];
        Values = RandomWeights.Normals(random, length * kvHeads * headDim);
        Queries = RandomWeights.Normals(random, length * heads * headDim);
        int chunk = Math.Max(1, prefilled / 3);
        for (int start = 0; start < prefilled; start += chunk) Append(start, Math.Min(chunk, prefilled - start), isPrefill: true);
        Prefilled = prefilled;
    }

    public LlamaConfig Config { get; }
    public AttentionOptions Options { get; }
    public AttentionPolicy Policy { get; }
    public int Length { get; }
    public int Prefilled { get; }

    /// <summary><c>[token, kvHead, headDim]</c>.</summary>
    public float[] Keys { get; }

    /// <summary><c>[token, kvHead, headDim]</c>.</summary>
    public float[] Values { get; }

    /// <summary><c>[token, head, headDim]</c>.</summary>
    public float[] Queries { get; }

    public ReadOnlySpan<float> Key(int token, int kvHead) => Keys.AsSpan((token * Config.KvHeads + kvHead) * Config.HeadDim, Config.HeadDim);

    public ReadOnlySpan<float> Query(int token, int head) => Queries.AsSpan((token * Config.Heads + head) * Config.HeadDim, Config.HeadDim);

    /// <summary>q·k/√d in double precision.</summary>
    public double Logit(int queryToken, int head, int token) => Dot(Query(queryToken, head), Key(token, head / Config.GroupSize)) / Math.Sqrt(Config.HeadDim);

    /// <summary>Softmax over <paramref name="tokens"/>.</summary>
    public double[] Weights(int queryToken, int head, IReadOnlyList<int> tokens)
    {
        double[] logits = [.. tokens.Select(t => Logit(queryToken, head, t))];
        double largest = logits.Max(), sum = logits.Sum(x => Math.Exp(x - largest));
        return [.. logits.Select(x => Math.Exp(x - largest) / sum)];
    }

    /// <summary>Attention of a query over <paramref name="tokens"/> in double precision.</summary>
    public double[] Output(int queryToken, int head, IReadOnlyList<int> tokens)
    {
        double[] weights = Weights(queryToken, head, tokens), y = new double[Config.HeadDim];
        for (int i = 0; i < tokens.Count; i++)
            for (int c = 0; c < y.Length; c++) y[c] += weights[i] * Values[(tokens[i] * Config.KvHeads + head / Config.GroupSize) * Config.HeadDim + c];
        return y;
    }

    public static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }

    /// <summary>One step for each of <paramref name="rows"/> tokens from <paramref name="position"/> on, together: outputs <c>[row, head, headDim]</c> and the sets, ascending, <c>[row][set]</c>.</summary>
    public (float[] Output, int[][][] Sets) Step(int position, int rows = 1)
    {
        using var batch = Append(position, rows, isPrefill: false)!;
        using var q = Upload(Queries.AsSpan(position * Config.Heads * Config.HeadDim, rows * Config.Heads * Config.HeadDim));
        using var y = _backend.Allocate((long)rows * Config.Heads * Config.HeadDim * sizeof(float), "test");
        Policy.Attend(0, batch, q, y);
        var sets = Policy.SetsOf(0, batch)!;
        int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(rows * sets.Sets), indices = ((DeviceSpan)sets.Indices).ToArray<int>(rows * sets.Sets * sets.Capacity);
        return (((DeviceSpan)y).ToArray<float>(rows * Config.Heads * Config.HeadDim),
            [.. Enumerable.Range(0, rows).Select(row => Enumerable.Range(0, sets.Sets).Select(set => indices.AsSpan((row * sets.Sets + set) * sets.Capacity, counts[row * sets.Sets + set]).ToArray().Order().ToArray()).ToArray())]);
    }

    // K and V into the cache, and the policy told.
    private StepBatch? Append(int position, int rows, bool isPrefill)
    {
        var batch = new StepBatch(_backend, rows, rows, _cache.Blocks);
        if (isPrefill) batch.SetPrefill(position, rows, _sequence.Blocks);
        else batch.SetDecode([.. Enumerable.Range(position, rows)], [.. Enumerable.Repeat(_sequence.Blocks, rows)]);
        int width = Config.KvHeads * Config.HeadDim;
        using var k = Upload(Keys.AsSpan(position * width, rows * width));
        using var v = Upload(Values.AsSpan(position * width, rows * width));
        using var q = Upload(Queries.AsSpan(position * Config.Heads * Config.HeadDim, rows * Config.Heads * Config.HeadDim));
        _backend.AppendKv(_shape, _cache.Layers[0], batch, k, v);
        Policy.Append(0, batch, k);
        if (!isPrefill) return batch;
        Policy.Observe(0, batch, q);
        batch.Dispose();
        return null;
    }

    private DeviceBuffer Upload(ReadOnlySpan<float> values)
    {
        var buffer = _backend.Allocate((long)values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload(values);
        return buffer;
    }

    public void Dispose()
    {
        _sequence.Dispose();
        Policy.Dispose();
        _cache.Dispose();
        _backend.Dispose();
    }
}
