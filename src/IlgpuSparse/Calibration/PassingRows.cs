using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>Queries and keys of a layer as they pass by: summed by channel where they are, if that is a device, of which only the rows that somebody keeps then come to the host; or all of them there.</summary>
internal sealed class PassingRows : IDisposable
{
    private readonly ComputeBackend _backend;
    private readonly AttentionShape _shape;
    private readonly DeviceBuffer _parts;
    private readonly float[] _q, _k, _sums;
    private readonly int _partRows;

    /// <summary>Allocates for passes of <paramref name="rows"/> tokens, in parts of <paramref name="partRows"/>.</summary>
    public PassingRows(ComputeBackend backend, LlamaConfig config, int rows, int partRows)
    {
        (_backend, _partRows) = (backend, partRows);
        _shape = new AttentionShape(config.Heads, config.KvHeads, config.HeadDim);
        _q = new float[rows * config.Heads * config.HeadDim];
        _k = new float[rows * config.KvHeads * config.HeadDim];
        _sums = new float[DeviceBytes(config, rows, partRows) / sizeof(float)];
        _parts = backend.Allocate(DeviceBytes(config, rows, partRows), "scratch");
    }

    /// <summary>Queries <c>[row, head, headDim]</c>, those that were brought.</summary>
    public ReadOnlySpan<float> Queries => _q;

    /// <summary>Keys <c>[row, kvHead, headDim]</c>, those that were brought.</summary>
    public ReadOnlySpan<float> Keys => _k;

    /// <summary>Bytes that one takes of the device's memory.</summary>
    public static long DeviceBytes(LlamaConfig config, int rows, int partRows) => sizeof(float) * ChannelStatistics.PartFloats(ChannelStatistics.Parts(rows, partRows, partRows - 1), config.KvHeads, config.HeadDim);

    /// <summary>The sums of <paramref name="rows"/> tokens <c>[part, sum, kvHead, headDim]</c>, the first part <paramref name="before"/> tokens shorter than the others; none where the host has to make them.</summary>
    public ReadOnlySpan<float> Sums(int rows, DeviceSpan q, DeviceSpan k, int before)
    {
        if (!_backend.TrySumChannels(_shape, rows, q, k, _parts, _partRows, before)) return default;
        var sums = _sums.AsSpan(0, (int)ChannelStatistics.PartFloats(ChannelStatistics.Parts(rows, _partRows, before), _shape.KvHeads, _shape.HeadDim));
        ((DeviceSpan)_parts).Download(sums);
        return sums;
    }

    /// <summary>Brings all of <paramref name="rows"/> tokens' queries.</summary>
    public void BringQueries(int rows, DeviceSpan q) => q.Download(_q.AsSpan(0, rows * _shape.Heads * _shape.HeadDim));

    /// <summary>Brings all of <paramref name="rows"/> tokens' keys.</summary>
    public void BringKeys(int rows, DeviceSpan k) => k.Download(_k.AsSpan(0, rows * _shape.KvHeads * _shape.HeadDim));

    /// <summary>Brings the queries of <paramref name="rows"/>, ascending.</summary>
    public void BringQueries(IEnumerable<int> rows, DeviceSpan q) => Bring(q, rows, _shape.Heads * _shape.HeadDim, _q);

    /// <summary>Brings the keys of <paramref name="rows"/>, ascending.</summary>
    public void BringKeys(IEnumerable<int> rows, DeviceSpan k) => Bring(k, rows, _shape.KvHeads * _shape.HeadDim, _k);

    /// <inheritdoc/>
    public void Dispose() => _parts.Dispose();

    // Rows that follow one another at once.
    private static void Bring(DeviceSpan source, IEnumerable<int> rows, int width, Span<float> target)
    {
        int first = 0, end = 0;
        foreach (int row in rows.Append(-1))
        {
            if (row != end)
            {
                if (end > first) source.SkipFloats((long)first * width).Download(target[(first * width)..(end * width)]);
                first = row;
            }
            end = row + 1;
        }
    }
}
