using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>bfloat16.</summary>
internal readonly struct BF16Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        var bits = data.Cast<U2>()[quad];
        F4 result;
        result.X = Ptx.BrainLow(bits.X);
        result.Y = Ptx.BrainHigh(bits.X);
        result.Z = Ptx.BrainLow(bits.Y);
        result.W = Ptx.BrainHigh(bits.Y);
        return result;
    }
}
