using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Native memory, 64-byte aligned and in large pages where it fills some, or a view of memory that somebody else owns (a mapped model file). Large blocks are committed by the operating system as they are touched.</summary>
internal sealed unsafe class CpuBuffer : DeviceBuffer
{
    private readonly MemoryLedger? _ledger;
    private readonly string _purpose;
    private byte* _data;

    /// <summary>Allocates.</summary>
    public CpuBuffer(long bytes, string purpose, MemoryLedger ledger)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ByteLength = bytes;
        _purpose = purpose;
        try
        {
            // one vector of slack, so that full-width loads at the end stay inside
            nuint size = checked((nuint)bytes + 64);
            bool large = bytes >= 2 * LargePages.Bytes;
            _data = (byte*)NativeMemory.AlignedAlloc(size, large ? (nuint)LargePages.Bytes : 64);
            if (large) LargePages.Advise(_data, size);
        }
        catch (OutOfMemoryException e)
        {
            throw new InsufficientMemoryException($"cannot allocate {bytes:N0} bytes for {purpose}", e);
        }
        _ledger = ledger;
        ledger.Add(purpose, bytes);
        GC.AddMemoryPressure(Math.Max(1, bytes));
    }

    /// <summary>Refers to memory owned elsewhere.</summary>
    public CpuBuffer(byte* data, long bytes)
    {
        _data = data;
        ByteLength = bytes;
        _purpose = "";
    }

    public override long ByteLength { get; }

    /// <summary>The first byte.</summary>
    public byte* Data => _data != null ? _data : throw new ObjectDisposedException(nameof(CpuBuffer));

    /// <summary>The place that <paramref name="span"/> names.</summary>
    public static T* Pointer<T>(DeviceSpan span) where T : unmanaged => (T*)(((CpuBuffer)span.Buffer).Data + span.ByteOffset);

    public override void Upload(ReadOnlySpan<byte> source, long offset = 0)
    {
        CheckRange(offset, source.Length);
        source.CopyTo(new Span<byte>(Data + offset, source.Length));
    }

    public override void Download(Span<byte> target, long offset = 0)
    {
        CheckRange(offset, target.Length);
        new ReadOnlySpan<byte>(Data + offset, target.Length).CopyTo(target);
    }

    public override void Clear() => NativeMemory.Clear(Data, (nuint)ByteLength);

    private void CheckRange(long offset, long length)
    {
        if (offset < 0 || length > ByteLength - offset)
            throw new ArgumentOutOfRangeException(nameof(offset), $"bytes {offset} to {offset + length} are not inside a buffer of {ByteLength}");
    }

    public override void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    ~CpuBuffer() => Free();

    private void Free()
    {
        var data = _data;
        _data = null;
        if (data == null || _ledger is null) return;
        NativeMemory.AlignedFree(data);
        _ledger.Remove(_purpose, ByteLength);
        GC.RemoveMemoryPressure(Math.Max(1, ByteLength));
    }
}
