namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// A bounded ring of page-locked memory that uploads to a CUDA device pass through: the copy engine reads one slot while the host fills the next, and small uploads need no wait at all.
/// </summary>
internal sealed unsafe class PinnedStaging : IDisposable
{
    /// <summary>Bytes a slot.</summary>
    public const int SlotBytes = 4 << 20;

    private const int Slots = 8;
    private readonly GpuDevice _device;
    private readonly IntPtr _memory;
    private readonly IntPtr[] _copied = new IntPtr[Slots];
    private int _next;
    private bool _disposed;

    public PinnedStaging(GpuDevice device)
    {
        _device = device;
        device.Accelerator.Bind();
        _memory = CudaDriver.AllocatePinned((long)Slots * SlotBytes);
        for (int i = 0; i < Slots; i++) _copied[i] = CudaDriver.CreateEvent(timing: false);
    }

    /// <summary>Copies <paramref name="source"/> to <paramref name="target"/> on the device's stream; returns when the source has been read.</summary>
    public void Upload(ReadOnlySpan<byte> source, IntPtr target)
    {
        _device.Accelerator.Bind();
        for (int start = 0; start < source.Length; start += SlotBytes)
        {
            var part = source[start..Math.Min(source.Length, start + SlotBytes)];
            int slot = _next;
            _next = (_next + 1) % Slots;
            CudaDriver.WaitForEvent(_copied[slot]); // done at once when it has never been recorded
            var pinned = (byte*)_memory + (long)slot * SlotBytes;
            part.CopyTo(new Span<byte>(pinned, SlotBytes));
            CudaDriver.CopyToDevice(target + start, pinned, part.Length, _device.StreamHandle);
            CudaDriver.RecordEvent(_copied[slot], _device.StreamHandle);
        }
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _device.Accelerator.Bind();
        foreach (var handle in _copied) CudaDriver.DestroyEvent(handle);
        CudaDriver.FreePinned(_memory);
    }
}
