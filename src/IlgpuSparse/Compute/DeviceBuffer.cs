namespace IlgpuSparse.Compute;

/// <summary>Memory of one backend, as bytes. Contents start undefined.</summary>
public abstract class DeviceBuffer : IDisposable
{
    /// <summary>Size.</summary>
    public abstract long ByteLength { get; }

    /// <summary>Copies from the host to byte <paramref name="offset"/>; done when it returns.</summary>
    public abstract void Upload(ReadOnlySpan<byte> source, long offset = 0);

    /// <summary>Copies to the host from byte <paramref name="offset"/>; waits for the work that writes it.</summary>
    public abstract void Download(Span<byte> target, long offset = 0);

    /// <summary>Sets every byte to zero.</summary>
    public abstract void Clear();

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>The buffer from byte 0.</summary>
    public static implicit operator DeviceSpan(DeviceBuffer buffer) => new(buffer, 0);
}
