using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Keys and queries of one kind of text as they passed by, in fp16: of every window evenly spaced keys, as many as the memory allows, and the queries of chosen positions. What a label loses is measured on them, as often as a search needs.
/// </summary>
public sealed class CalibrationSample
{
    private readonly LlamaConfig _config;
    private readonly List<Window> _windows = [];
    private readonly int _mostKeys;

    /// <summary>Starts empty.</summary>
    /// <param name="config">The model.</param>
    /// <param name="name">The kind of text, for reports.</param>
    /// <param name="mostKeys">Most keys a window.</param>
    public CalibrationSample(LlamaConfig config, string name, int mostKeys)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(mostKeys, 1);
        _config = config;
        _mostKeys = mostKeys;
        Name = name;
    }

    /// <summary>The kind of text.</summary>
    public string Name { get; }

    /// <summary>The model.</summary>
    public LlamaConfig Config => _config;

    /// <summary>Bytes that a window of <paramref name="keys"/> keys and <paramref name="queries"/> queries takes.</summary>
    public static long WindowBytes(LlamaConfig config, int keys, int queries) => 2L * config.Layers * config.HeadDim * ((long)keys * config.KvHeads + (long)queries * config.Heads);

    /// <summary>Bytes held.</summary>
    public long Bytes => _windows.Sum(w => WindowBytes(_config, w.Count, w.Positions.Length));

    /// <summary>Begins a window of <paramref name="length"/> tokens of which the queries at <paramref name="positions"/> are kept; positions outside are left out.</summary>
    public void Begin(int length, IEnumerable<int> positions)
    {
        int stride = (length + _mostKeys - 1) / _mostKeys, count = (length + stride - 1) / stride;
        int[] kept = [.. positions.Where(p => (uint)p < (uint)length).Distinct().Order()];
        _windows.Add(new Window(stride, count, kept,
            [.. Enumerable.Range(0, _config.Layers).Select(_ => new Half[count * _config.KvHeads * _config.HeadDim])],
            [.. Enumerable.Range(0, _config.Layers).Select(_ => new Half[kept.Length * _config.Heads * _config.HeadDim])]));
    }

    /// <summary>Takes what it keeps of <paramref name="rows"/> tokens from <paramref name="position"/> on, after RoPE: queries <c>[row, head, headDim]</c> and keys <c>[row, kvHead, headDim]</c>.</summary>
    public void Add(int layer, int position, int rows, ReadOnlySpan<float> q, ReadOnlySpan<float> k)
    {
        var window = _windows[^1];
        int keyWidth = _config.KvHeads * _config.HeadDim, queryWidth = _config.Heads * _config.HeadDim;
        foreach (int row in KeyRows(position, rows)) Narrow(k.Slice(row * keyWidth, keyWidth), window.Keys[layer].AsSpan((position + row) / window.Stride * keyWidth));
        foreach (int row in QueryRows(position, rows)) Narrow(q.Slice(row * queryWidth, queryWidth), window.Queries[layer].AsSpan(Array.BinarySearch(window.Positions, position + row) * queryWidth));
    }

    /// <summary>Which of <paramref name="rows"/> tokens from <paramref name="position"/> on keep their keys, in ascending order.</summary>
    internal IEnumerable<int> KeyRows(int position, int rows)
    {
        var window = _windows[^1];
        for (int i = (position + window.Stride - 1) / window.Stride; i < window.Count && i * window.Stride < position + rows; i++) yield return i * window.Stride - position;
    }

    /// <summary>Which of them keep their queries.</summary>
    internal IEnumerable<int> QueryRows(int position, int rows) => _windows[^1].Positions.Where(p => p >= position && p < position + rows).Select(p => p - position);

    /// <summary>The windows as one (layer, kv head) saw them.</summary>
    internal IReadOnlyList<HeadWindow> Head(int layer, int kvHead) => [.. _windows.Select(w => Head(w, layer, kvHead))];

    private HeadWindow Head(Window window, int layer, int kvHead)
    {
        int d = _config.HeadDim, group = _config.GroupSize * d;
        var keys = new float[window.Count * d];
        for (int i = 0; i < window.Count; i++) Widen(window.Keys[layer].AsSpan((i * _config.KvHeads + kvHead) * d, d), keys.AsSpan(i * d));
        var queries = new float[window.Positions.Length * group];
        for (int i = 0; i < window.Positions.Length; i++) Widen(window.Queries[layer].AsSpan((i * _config.KvHeads + kvHead) * group, group), queries.AsSpan(i * group));
        return new HeadWindow(window.Count, keys, queries, [.. window.Positions.Select(p => p / window.Stride + 1)]);
    }

    internal static void Narrow(ReadOnlySpan<float> from, Span<Half> to)
    {
        // an infinite key would make every sum infinite
        for (int i = 0; i < from.Length; i++) to[i] = (Half)Math.Clamp(from[i], -65504f, 65504f);
    }

    internal static void Widen(ReadOnlySpan<Half> from, Span<float> to)
    {
        for (int i = 0; i < from.Length; i++) to[i] = (float)from[i];
    }

    private sealed record Window(int Stride, int Count, int[] Positions, Half[][] Keys, Half[][] Queries);
}
