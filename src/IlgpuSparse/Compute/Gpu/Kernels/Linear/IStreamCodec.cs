using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp multiplies a stage of two weight rows in shared memory, as stored, with the activations of a single row. Lanes 4g to 4g + 3 take segment g of both rows: rows g and g + 8 of one operand of the matrix
/// instructions, and the activations of segment g are column g of the other. What counts lies on the diagonal of the result.
/// </summary>
internal interface IStreamCodec
{
    /// <summary>16-byte units of a row's stage.</summary>
    static abstract int Units { get; }

    /// <summary>Columns of a row's stage / 4: a multiple of 64. Of 64, quads 2i and 2i + 1 lie in units i and i + 32 of the activations (<see cref="StreamInput"/>), so that lanes that read together find theirs side by side.</summary>
    static abstract int Quads { get; }

    /// <summary>
    /// Adds the products of a stage, of the upper row in X and Y and of the lower one in Z and W. <paramref name="at"/> is where the upper row's part begins, the lower one's follows; <paramref name="x"/> is where its
    /// activations do, and <paramref name="scales"/> where what they are multiples of does, a float for each 256 columns.
    /// </summary>
    static abstract F4 Multiply(ArrayView<U4> memory, int at, int x, int scales, int lane, F4 sums);
}
