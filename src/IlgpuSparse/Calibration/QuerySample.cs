using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Queries of a text of unknown length, in fp16 and bounded memory: those of every position at first, of every second once they are too many, and so on. What a text is taken back behind is forgotten.
/// </summary>
internal sealed class QuerySample
{
    private readonly LlamaConfig _config;
    private readonly int _most;
    private readonly Half[][] _rows; // [layer][slot, head, headDim]
    private readonly List<int> _positions = [];
    private readonly List<(int Row, int Slot)> _coming = [];

    /// <summary>Starts empty, with room for <paramref name="most"/> positions.</summary>
    public QuerySample(LlamaConfig config, int most)
    {
        _config = config;
        _most = most;
        _rows = [.. Enumerable.Range(0, config.Layers).Select(_ => new Half[(long)most * config.Heads * config.HeadDim])];
    }

    private QuerySample(QuerySample other)
    {
        (_config, _most, Stride) = (other._config, other._most, other.Stride);
        _positions.AddRange(other._positions);
        _rows = [.. other._rows.Select(r => (Half[])r.Clone())];
    }

    /// <summary>Bytes of a sample of <paramref name="most"/> positions.</summary>
    public static long Bytes(LlamaConfig config, int most) => 2L * config.Layers * most * config.Heads * config.HeadDim;

    /// <summary>Kept are positions that are a multiple of it.</summary>
    public int Stride { get; private set; } = 1;

    /// <summary>The positions, ascending.</summary>
    public IReadOnlyList<int> Positions => _positions;

    /// <summary>A copy.</summary>
    public QuerySample Copy() => new(this);

    /// <summary>Before the layers of a pass of <paramref name="rows"/> tokens from <paramref name="start"/> on.</summary>
    public void Begin(int start, int rows)
    {
        _coming.Clear();
        while (_positions.Count > 0 && _positions[^1] >= start) _positions.RemoveAt(_positions.Count - 1);
        for (int position = start; position < start + rows; position++)
        {
            if (position % Stride == 0 && _positions.Count == _most) Thin();
            if (position % Stride != 0) continue;
            _coming.Add((position - start, _positions.Count));
            _positions.Add(position);
        }
    }

    /// <summary>Rows of the pass whose queries it keeps, ascending.</summary>
    public IEnumerable<int> Rows => _coming.Select(c => c.Row);

    /// <summary>Takes what it keeps of the queries <c>[row, head, headDim]</c> of <paramref name="layer"/>.</summary>
    public void Add(int layer, ReadOnlySpan<float> q)
    {
        int width = _config.Heads * _config.HeadDim;
        foreach (var (row, slot) in _coming) CalibrationSample.Narrow(q.Slice(row * width, width), _rows[layer].AsSpan(slot * width, width));
    }

    /// <summary>The queries of a kv head's group, <c>[position, head of the group, headDim]</c>.</summary>
    public float[] Head(int layer, int kvHead)
    {
        int group = _config.GroupSize * _config.HeadDim;
        var result = new float[_positions.Count * group];
        for (int i = 0; i < _positions.Count; i++) CalibrationSample.Widen(_rows[layer].AsSpan((i * _config.KvHeads + kvHead) * group, group), result.AsSpan(i * group));
        return result;
    }

    private void Thin()
    {
        Stride *= 2;
        int width = _config.Heads * _config.HeadDim, kept = 0;
        _coming.RemoveAll(c => _positions[c.Slot] % Stride != 0);
        for (int i = 0; i < _positions.Count; i++)
        {
            if (_positions[i] % Stride != 0) continue;
            if (i != kept)
            {
                foreach (var rows in _rows) Array.Copy(rows, i * width, rows, kept * width, width);
                int from = i, to = kept;
                int at = _coming.FindIndex(c => c.Slot == from);
                if (at >= 0) _coming[at] = (_coming[at].Row, to);
            }
            _positions[kept++] = _positions[i];
        }
        _positions.RemoveRange(kept, _positions.Count - kept);
    }
}
