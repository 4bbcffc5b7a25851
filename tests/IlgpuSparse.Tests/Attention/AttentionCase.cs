using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Attention;

/// <summary>
/// A cache on a backend with random K and V of several sequences in scattered blocks, unused memory poisoned with NaN, and what the cache should hold as the numbers for the reference.
/// </summary>
internal sealed class AttentionCase : IDisposable
{
    private readonly ComputeBackend _backend;
    private readonly Random _random;
    private readonly List<IDisposable> _owned = [];
    private readonly float[][] _k;
    private readonly float[][] _v;
    private readonly int[][] _blocks;
    private readonly int _maxBlocks;

    public AttentionCase(ComputeBackend backend, Random random, AttentionShape shape, KvFormat format, params int[] lengths)
    {
        (_backend, _random, Shape, Lengths) = (backend, random, shape, lengths);
        int rowFloats = shape.KvHeads * shape.HeadDim;
        _maxBlocks = lengths.Max(BlocksFor);
        int total = lengths.Sum(BlocksFor) + 2;
        int[] free = [.. Enumerable.Range(0, total)];
        random.Shuffle(free);
        long bytes = (long)total * KvLayer.BlockTokens * rowFloats * format.ElementBytes();
        bool scaled = format == KvFormat.Int8;
        long scaleBytes = (long)total * KvLayer.BlockTokens * shape.KvHeads * sizeof(float);
        Cache = new KvLayer(format, Poisoned(bytes), Poisoned(bytes), scaled ? Poisoned(scaleBytes) : null, scaled ? Poisoned(scaleBytes) : null);
        Sums = Own(ValueSums.Allocate(backend, total, shape.KvHeads, shape.HeadDim));
        _blocks = new int[lengths.Length][];
        _k = new float[lengths.Length][];
        _v = new float[lengths.Length][];
        for (int s = 0, used = 0; s < lengths.Length; s++)
        {
            _blocks[s] = free[used..(used += BlocksFor(lengths[s]))];
            _k[s] = Normal(lengths[s] * rowFloats, 1);
            _v[s] = Normal(lengths[s] * rowFloats, 1);
            // chunks of odd sizes, so that appends cross block edges anywhere
            for (int start = 0; start < lengths[s];)
            {
                int rows = Math.Min(lengths[s] - start, random.Next(1, 400));
                using var batch = new StepBatch(backend, rows, 1, _maxBlocks);
                batch.SetPrefill(start, rows, _blocks[s]);
                Append(batch, _k[s].AsSpan(start * rowFloats, rows * rowFloats), _v[s].AsSpan(start * rowFloats, rows * rowFloats));
                start += rows;
            }
            for (int i = 0; i < _k[s].Length; i += shape.HeadDim) KvRounding.Round(format, _k[s].AsSpan(i, shape.HeadDim));
            for (int i = 0; i < _v[s].Length; i += shape.HeadDim) KvRounding.Round(format, _v[s].AsSpan(i, shape.HeadDim));
        }
    }

    public AttentionShape Shape { get; }

    public int[] Lengths { get; }

    public KvLayer Cache { get; }

    public ValueSums Sums { get; }

    private int QueryFloats => Shape.Heads * Shape.HeadDim;

    /// <summary>A decode step for the last token of every sequence.</summary>
    public StepBatch DecodeStep()
    {
        var batch = Own(new StepBatch(_backend, Lengths.Length, Lengths.Length, _maxBlocks));
        batch.SetDecode([.. Lengths.Select(l => l - 1)], _blocks);
        return batch;
    }

    /// <summary>A chunk of the first sequence's tokens.</summary>
    public StepBatch PrefillStep(int start, int rows)
    {
        var batch = Own(new StepBatch(_backend, rows, 1, _maxBlocks));
        batch.SetPrefill(start, rows, _blocks[0]);
        return batch;
    }

    /// <summary>Random queries for <paramref name="rows"/> rows. A larger <paramref name="spread"/> makes attention more peaked.</summary>
    public float[] Queries(int rows, float spread = 2) => Normal(rows * QueryFloats, spread);

    /// <summary>Dense attention on the backend.</summary>
    public float[] Attend(StepBatch batch, float[] q)
    {
        using var queries = Upload(q);
        using var y = Poisoned(q.Length * sizeof(float));
        _backend.Attend(Shape, Cache, batch, queries, y);
        return ((DeviceSpan)y).ToArray<float>(q.Length);
    }

    /// <summary>
    /// A dense step that has K and V of its own tokens to write leaves what appending before leaves, to the bit: the whole cache and the outputs. Recorded, too, and with K and V that tensor cores take in a single kernel.
    /// </summary>
    public void CheckAppending(StepBatch batch, string what)
    {
        int rows = batch.Rows * Shape.KvHeads * Shape.HeadDim;
        float[] queries = Queries(batch.Rows);
        using var q = Upload(queries);
        using var k = Upload(Normal(rows, 1));
        using var v = Upload(Normal(rows, 1));
        using var others = Upload(Normal(rows, 1));
        using var y = Poisoned(queries.Length * sizeof(float));
        DeviceBuffer[] state = [.. new[] { Cache.K, Cache.V, Cache.KScales, Cache.VScales }.OfType<DeviceBuffer>()];
        _backend.AppendKv(Shape, Cache, batch, k, v);
        float[] expected = Attend(batch, queries);
        byte[][] kept = [.. state.Select(Bytes)];
        Check(() => _backend.AppendAndAttend(Shape, Cache, batch, new OwnRows(k, v), q, y));
        if (!_backend.Records) return;
        using var recorded = _backend.Record(() => _backend.AppendAndAttend(Shape, Cache, batch, new OwnRows(k, v), q, y));
        if (Cache.Format is KvFormat.F16 or KvFormat.BF16 && HeadSizes.All.Contains(Shape.HeadDim)) Assert.Equal(1, recorded.Nodes);
        else Assert.True(recorded.Nodes > 1);
        Check(recorded.Run);

        void Check(Action step)
        {
            _backend.AppendKv(Shape, Cache, batch, others, others);
            Assert.False(Bytes(Cache.K).AsSpan().SequenceEqual(kept[0]));
            step();
            Assert.Equal(expected, ((DeviceSpan)y).ToArray<float>(queries.Length));
            Assert.All(state.Zip(kept), pair => Assert.True(Bytes(pair.First).AsSpan().SequenceEqual(pair.Second), $"{what}: {Shape}, {Cache.Format}, lengths {string.Join(' ', Lengths)}"));
        }
    }

    /// <summary>All of a buffer.</summary>
    public static byte[] Bytes(DeviceBuffer buffer) => ((DeviceSpan)buffer).ToArray<byte>((int)buffer.ByteLength);

    /// <summary>Attention over the tokens <c>[row][set]</c> on the backend.</summary>
    public float[] AttendSelected(StepBatch batch, float[] q, int[][][] tokens)
    {
        int sets = tokens[0].Length, capacity = tokens.Max(row => row.Max(set => set.Length)) + 3;
        // room past a set's count holds positions far outside
        int[] indices = [.. Enumerable.Repeat(int.MaxValue / 2, tokens.Length * sets * capacity)];
        int[] counts = [.. tokens.SelectMany(row => row.Select(set => set.Length))];
        for (int row = 0; row < tokens.Length; row++)
            for (int set = 0; set < sets; set++)
                tokens[row][set].CopyTo(indices, (row * sets + set) * capacity);
        using var lists = new TokenSets(_backend.Allocate(indices.Length * sizeof(int), "test"), _backend.Allocate(counts.Length * sizeof(int), "test"), sets, capacity);
        ((DeviceSpan)lists.Indices).Upload<int>(indices);
        ((DeviceSpan)lists.Counts).Upload<int>(counts);
        using var queries = Upload(q);
        using var y = Poisoned(q.Length * sizeof(float));
        _backend.AttendSelected(Shape, Cache, batch, queries, lists, y);
        return ((DeviceSpan)y).ToArray<float>(q.Length);
    }

    /// <summary>Takes sequence 0 back to <paramref name="length"/> tokens and lets it grow again, one token a step, with other V.</summary>
    public void GrowAgain(int length)
    {
        int row = Shape.KvHeads * Shape.HeadDim;
        for (int position = length; position < Lengths[0]; position++)
        {
            Normal(row, 1).CopyTo(_v[0], position * row);
            using var batch = new StepBatch(_backend, 1, 1, _maxBlocks);
            batch.SetDecode([position], [_blocks[0]]);
            Append(batch, _k[0].AsSpan(position * row, row), _v[0].AsSpan(position * row, row));
            for (int i = 0; i < row; i += Shape.HeadDim) KvRounding.Round(Cache.Format, _v[0].AsSpan(position * row + i, Shape.HeadDim));
        }
    }

    /// <summary>Mean-value correction of <paramref name="y"/> on the backend, with shares <c>[row, set]</c>.</summary>
    public float[] BlendMeanValue(StepBatch batch, float[] y, float[] shares)
    {
        int sets = shares.Length / batch.Rows;
        using var lists = new TokenSets(_backend.Allocate(shares.Length * sizeof(int), "test"), _backend.Allocate(shares.Length * sizeof(int), "test"), sets, 1, Upload(shares));
        using var result = Upload(y);
        _backend.BlendMeanValue(Shape, Cache, Sums, batch, lists, result);
        return ((DeviceSpan)result).ToArray<float>(y.Length);
    }

    /// <summary>The mean of V that a head sees at <paramref name="position"/>, by channel.</summary>
    public double[] MeanValue(int sequence, int position, int head)
    {
        int d = Shape.HeadDim, first = Shape.FirstVisible(position), kvHead = head / Shape.GroupSize;
        return [.. Enumerable.Range(0, d).Select(c => Enumerable.Range(first, position + 1 - first).Average(t => (double)_v[sequence][(t * Shape.KvHeads + kvHead) * d + c]))];
    }

    /// <summary>The right answer for a row: <paramref name="tokens"/> <c>[set]</c> or null for all.</summary>
    public double[] Expected(int sequence, int position, ReadOnlySpan<float> q, int[][]? tokens = null)
    {
        int[][]? byHead = tokens is null ? null : [.. Enumerable.Range(0, Shape.Heads).Select(h => tokens[h * tokens.Length / Shape.Heads])];
        return ReferenceAttention.Attend(Shape, q, _k[sequence], _v[sequence], position, byHead);
    }

    /// <summary>Throws unless row <paramref name="row"/> of <paramref name="actual"/> is <paramref name="expected"/> to rounding.</summary>
    public void Compare(double[] expected, float[] actual, int row, string what, double tolerance = 3e-5)
    {
        for (int i = 0; i < QueryFloats; i++)
        {
            double error = Math.Abs(actual[row * QueryFloats + i] - expected[i]);
            Assert.True(error <= tolerance * (1 + Math.Abs(expected[i])), // NaN fails
                $"{what}: {Shape}, {Cache.Format}, lengths {string.Join(' ', Lengths)}, row {row} head {i / Shape.HeadDim} channel {i % Shape.HeadDim}: {actual[row * QueryFloats + i]}, expected {expected[i]}");
        }
    }

    private void Append(StepBatch batch, ReadOnlySpan<float> k, ReadOnlySpan<float> v)
    {
        using var keys = Upload(k);
        using var values = Upload(v);
        _backend.AppendKv(Shape, Cache, batch, keys, values);
        _backend.AppendValueSums(Shape, Cache, Sums, batch);
        _backend.Synchronize();
    }

    private static int BlocksFor(int length) => (length + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens;

    private float[] Normal(int count, float spread)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = spread * (float)(Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())) * Math.Cos(2 * Math.PI * _random.NextDouble()));
        return values;
    }

    private DeviceBuffer Upload(ReadOnlySpan<float> values)
    {
        var buffer = _backend.Allocate(values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload(values);
        return buffer;
    }

    // All bits set is NaN in every format.
    private DeviceBuffer Poisoned(long bytes)
    {
        var buffer = Own(_backend.Allocate(bytes, "test"));
        var ones = new byte[bytes];
        Array.Fill(ones, (byte)0xff);
        buffer.Upload(ones);
        return buffer;
    }

    private T Own<T>(T item) where T : IDisposable
    {
        _owned.Add(item);
        return item;
    }

    public void Dispose()
    {
        foreach (var item in _owned) item.Dispose();
    }
}
