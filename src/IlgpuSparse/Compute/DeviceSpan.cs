using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute;

/// <summary>A place in a <see cref="DeviceBuffer"/>: what operations take, so that one row of a matrix can be an operand.</summary>
/// <param name="Buffer">The buffer.</param>
/// <param name="ByteOffset">Where it starts; a multiple of 16.</param>
public readonly record struct DeviceSpan(DeviceBuffer Buffer, long ByteOffset)
{
    /// <summary>The place <paramref name="floats"/> single-precision numbers further.</summary>
    public DeviceSpan SkipFloats(long floats) => new(Buffer, ByteOffset + floats * sizeof(float));

    /// <summary>Copies values of <typeparamref name="T"/> in.</summary>
    public void Upload<T>(ReadOnlySpan<T> source) where T : unmanaged => Buffer.Upload(MemoryMarshal.AsBytes(source), ByteOffset);

    /// <summary>Copies values of <typeparamref name="T"/> out.</summary>
    public void Download<T>(Span<T> target) where T : unmanaged => Buffer.Download(MemoryMarshal.AsBytes(target), ByteOffset);

    /// <summary>Copies <paramref name="count"/> values of <typeparamref name="T"/> out into a new array.</summary>
    public T[] ToArray<T>(int count) where T : unmanaged
    {
        var result = new T[count];
        Download(result.AsSpan());
        return result;
    }
}
