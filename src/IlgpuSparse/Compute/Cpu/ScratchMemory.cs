using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>One block of native memory that grows to the largest request and is used again and again; contents do not survive the next <see cref="Reserve"/>.</summary>
internal sealed unsafe class ScratchMemory(MemoryLedger? ledger) : IDisposable
{
    private byte* _data;
    private long _bytes;

    /// <summary>At least <paramref name="bytes"/>, 64-byte aligned, contents undefined; valid until the next call.</summary>
    /// <exception cref="InsufficientMemoryException">There is not that much.</exception>
    public byte* Reserve(long bytes)
    {
        if (bytes > _bytes) Grow(bytes);
        return _data;
    }

    /// <summary>As <see cref="Reserve"/>, in floats.</summary>
    public float* Floats(long count) => (float*)Reserve(checked(count * sizeof(float)));

    private void Grow(long bytes)
    {
        long rounded = checked(bytes + 4095) & ~4095L;
        Dispose();
        try
        {
            _data = (byte*)NativeMemory.AlignedAlloc((nuint)rounded, 64);
        }
        catch (OutOfMemoryException e)
        {
            throw new InsufficientMemoryException($"cannot allocate {rounded:N0} bytes of scratch", e);
        }
        _bytes = rounded;
        ledger?.Add("scratch", rounded);
    }

    public void Dispose()
    {
        if (_data == null) return;
        NativeMemory.AlignedFree(_data);
        ledger?.Remove("scratch", _bytes);
        _data = null;
        _bytes = 0;
    }
}
