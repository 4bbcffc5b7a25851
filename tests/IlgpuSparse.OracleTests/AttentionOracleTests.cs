using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.OracleTests.Oracles;

namespace IlgpuSparse.OracleTests;

/// <summary><see cref="ComputeBackend.Attend"/> and <see cref="ComputeBackend.AttendSelected"/> against ONNX's Attention operator.</summary>
public sealed class AttentionOracleTests : IDisposable
{
    private const double Tolerance = 2e-5;
    private readonly CpuBackend _backend = new();
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    public AttentionOracleTests() => _random = new Random(_seed);

    public void Dispose() => _backend.Dispose();

    /// <summary>Heads, kv heads, head size, window: MHA, GQA, MQA; head sizes 64 to 256.</summary>
    public static TheoryData<int, int, int, int> Shapes => new()
    {
        { 4, 4, 64, 0 },
        { 6, 1, 80, 0 },
        { 4, 2, 96, 0 },
        { 8, 2, 128, 0 },
        { 12, 4, 128, 100 },
        { 3, 1, 256, 0 },
        { 7, 7, 64, 1 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Decode(int heads, int kvHeads, int headDim, int window)
    {
        var shape = new AttentionShape(heads, kvHeads, headDim, window);
        int[] lengths = [1, 7, 255, 256, 257, _random.Next(258, 1300)];
        foreach (var format in new[] { KvFormat.F32, KvFormat.F16, KvFormat.BF16 })
        {
            using var cache = new CacheOfOneLayer(_backend, shape, format, lengths, _random);
            using var batch = new StepBatch(_backend, lengths.Length, lengths.Length, cache.BlocksPerSequence);
            batch.SetDecode([.. lengths.Select(l => l - 1)], cache.Blocks);
            float[] q = Matrices.Normal(_random, lengths.Length * heads * headDim);
            float[] actual = Attend(shape, cache, batch, q);
            for (int row = 0; row < lengths.Length; row++)
            {
                var slice = (row * heads * headDim)..((row + 1) * heads * headDim);
                float[] expected = Oracle(shape, cache, sequence: row, q[slice], firstPosition: lengths[row] - 1, rows: 1, (position, token) => token >= shape.FirstVisible(position));
                Matrices.AssertClose(expected, actual[slice], Tolerance, $"seed {_seed}, {shape}, {format}, length {lengths[row]}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Prefill(int heads, int kvHeads, int headDim, int window)
    {
        var shape = new AttentionShape(heads, kvHeads, headDim, window);
        foreach (var (start, rows) in new[] { (0, 1), (0, 2), (0, 65), (0, 257), (130, 200), (255, 2), (_random.Next(1, 400), _random.Next(2, 150)) })
        {
            foreach (var format in new[] { KvFormat.F32, KvFormat.F16, KvFormat.BF16 })
            {
                using var cache = new CacheOfOneLayer(_backend, shape, format, [start + rows], _random);
                using var batch = new StepBatch(_backend, rows, 1, cache.BlocksPerSequence);
                batch.SetPrefill(start, rows, cache.Blocks[0]);
                float[] q = Matrices.Normal(_random, rows * heads * headDim);
                float[] actual = Attend(shape, cache, batch, q);
                float[] expected = Oracle(shape, cache, 0, q, start, rows, (position, token) => token <= position && token >= shape.FirstVisible(position));
                Matrices.AssertClose(expected, actual, Tolerance, $"seed {_seed}, {shape}, {format}, {rows} rows from {start}");
            }
        }
    }

    [Theory]
    [InlineData(4, 4, 64, 4)]
    [InlineData(8, 2, 128, 2)]
    [InlineData(8, 2, 80, 8)]
    [InlineData(3, 1, 256, 1)]
    public void Decode_over_selected_tokens(int heads, int kvHeads, int headDim, int sets)
    {
        var shape = new AttentionShape(heads, kvHeads, headDim);
        int[] lengths = [1, 300, _random.Next(301, 900)];
        using var cache = new CacheOfOneLayer(_backend, shape, KvFormat.F32, lengths, _random);
        using var batch = new StepBatch(_backend, lengths.Length, lengths.Length, cache.BlocksPerSequence);
        batch.SetDecode([.. lengths.Select(l => l - 1)], cache.Blocks);
        float[] q = Matrices.Normal(_random, lengths.Length * heads * headDim);

        // A random subset for each row and set; the last token is always in.
        const int Capacity = 64;
        var indices = new int[lengths.Length * sets * Capacity];
        var counts = new int[lengths.Length * sets];
        var selected = new HashSet<int>[lengths.Length, sets];
        for (int row = 0; row < lengths.Length; row++)
        {
            for (int set = 0; set < sets; set++)
            {
                int[] others = [.. Enumerable.Range(0, lengths[row] - 1)];
                _random.Shuffle(others);
                int[] chosen = [.. others.Take(_random.Next(Capacity)).Append(lengths[row] - 1).Order()];
                selected[row, set] = [.. chosen];
                counts[row * sets + set] = chosen.Length;
                chosen.CopyTo(indices, (row * sets + set) * Capacity);
            }
        }
        using var tokenSets = new TokenSets(_backend.Allocate(indices.Length * sizeof(int), "test"), _backend.Allocate(counts.Length * sizeof(int), "test"), sets, Capacity);
        ((DeviceSpan)tokenSets.Indices).Upload<int>(indices);
        ((DeviceSpan)tokenSets.Counts).Upload<int>(counts);
        using var device = Matrices.Upload(_backend, q);
        using var y = _backend.Allocate(q.Length * sizeof(float), "test");
        _backend.AttendSelected(shape, cache.Layer, batch, device, tokenSets, y);
        float[] actual = ((DeviceSpan)y).ToArray<float>(q.Length);

        for (int row = 0; row < lengths.Length; row++)
        {
            for (int set = 0; set < sets; set++)
            {
                float[] expected = Oracle(shape, cache, row, q[(row * heads * headDim)..((row + 1) * heads * headDim)], lengths[row] - 1, 1, (_, token) => selected[row, set].Contains(token));
                int headsOfSet = heads / sets;
                var part = (set * headsOfSet * headDim)..((set + 1) * headsOfSet * headDim);
                Matrices.AssertClose(expected[part], actual[(row * heads * headDim)..][part], Tolerance, $"seed {_seed}, {shape}, {sets} sets, row {row}, set {set}");
            }
        }
    }

    private float[] Attend(AttentionShape shape, CacheOfOneLayer cache, StepBatch batch, float[] q)
    {
        using var device = Matrices.Upload(_backend, q);
        using var y = _backend.Allocate(q.Length * sizeof(float), "test");
        _backend.Attend(shape, cache.Layer, batch, device, y);
        return ((DeviceSpan)y).ToArray<float>(q.Length);
    }

    /// <summary>ONNX's Attention over all tokens of a sequence with the visible ones as a boolean mask. Returns <c>[row, head, headDim]</c>.</summary>
    private static float[] Oracle(AttentionShape shape, CacheOfOneLayer cache, int sequence, float[] q, int firstPosition, int rows, Func<int, int, bool> visible)
    {
        int tokens = cache.K[sequence].Length / (shape.KvHeads * shape.HeadDim);
        var mask = new bool[rows * tokens];
        for (int row = 0; row < rows; row++)
        {
            for (int token = 0; token < tokens; token++) mask[row * tokens + token] = visible(firstPosition + row, token);
        }
        float[] y = new OnnxGraph()
            .Input("q", Matrices.SwapOuter(q, rows, shape.Heads, shape.HeadDim), 1, shape.Heads, rows, shape.HeadDim)
            .Input("k", Matrices.SwapOuter(cache.K[sequence], tokens, shape.KvHeads, shape.HeadDim), 1, shape.KvHeads, tokens, shape.HeadDim)
            .Input("v", Matrices.SwapOuter(cache.V[sequence], tokens, shape.KvHeads, shape.HeadDim), 1, shape.KvHeads, tokens, shape.HeadDim)
            .Input("mask", mask, rows, tokens)
            .Node("Attention", ["q", "k", "v", "mask"], "y")
            .Run("y");
        return Matrices.SwapOuter(y, shape.Heads, rows, shape.HeadDim);
    }
}
