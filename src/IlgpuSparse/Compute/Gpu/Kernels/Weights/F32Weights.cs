using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>Single precision.</summary>
internal readonly struct F32Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad) => data.Cast<F4>()[quad];
}
