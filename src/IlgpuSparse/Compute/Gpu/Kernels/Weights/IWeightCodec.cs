using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>How a kernel reads a <see cref="Model.WeightFormat"/>: four consecutive numbers of a matrix at a time.</summary>
internal interface IWeightCodec
{
    /// <summary>Numbers 4·<paramref name="quad"/> .. 4·<paramref name="quad"/> + 3 of the matrix, counted through all rows (rows are whole blocks).</summary>
    static abstract F4 Quad(ArrayView<ushort> data, long quad);
}
