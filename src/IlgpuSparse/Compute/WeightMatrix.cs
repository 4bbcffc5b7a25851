using IlgpuSparse.Model;

namespace IlgpuSparse.Compute;

/// <summary>A weight matrix <c>[rows, columns]</c> where a backend can compute with it, in the format of the file.</summary>
/// <param name="Name">Name in the file, for messages.</param>
/// <param name="Format">Storage format.</param>
/// <param name="Rows">Outputs.</param>
/// <param name="Columns">Inputs; whole blocks of the format.</param>
/// <param name="Data">The stored bytes: the mapped file itself on the CPU, a copy on a GPU.</param>
public sealed record WeightMatrix(string Name, WeightFormat Format, int Rows, int Columns, DeviceBuffer Data) : IDisposable
{
    /// <summary>Bytes as stored.</summary>
    public long ByteLength => Format.ByteLength((long)Rows * Columns);

    /// <inheritdoc/>
    public void Dispose() => Data.Dispose();
}
