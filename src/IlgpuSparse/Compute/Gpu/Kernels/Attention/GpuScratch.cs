namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Working memory that grows to the largest need and is kept, so that a repeated step allocates nothing. Outgrown memory is kept too, because a recorded graph may still point to it; sizes
/// at least double, so all of it together is at most twice the largest.
/// </summary>
internal sealed class GpuScratch(GpuDevice device, MemoryLedger ledger) : IDisposable
{
    private readonly List<GpuBuffer> _buffers = [];

    /// <summary>At least <paramref name="bytes"/>; zeros when new if <paramref name="clear"/>.</summary>
    public GpuBuffer Reserve(long bytes, bool clear = false)
    {
        if (_buffers.Count > 0 && _buffers[^1].ByteLength >= bytes) return _buffers[^1];
        var buffer = new GpuBuffer(device, _buffers.Count > 0 ? Math.Max(bytes, 2 * _buffers[^1].ByteLength) : bytes, "scratch", ledger);
        _buffers.Add(buffer);
        if (clear) buffer.Clear();
        return buffer;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in _buffers) buffer.Dispose();
        _buffers.Clear();
    }
}
