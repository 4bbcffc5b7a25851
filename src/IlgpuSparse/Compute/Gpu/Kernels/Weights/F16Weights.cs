using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>Half precision.</summary>
internal readonly struct F16Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        var bits = data.Cast<U2>()[quad];
        F4 result;
        result.X = Ptx.HalfLow(bits.X);
        result.Y = Ptx.HalfHigh(bits.X);
        result.Z = Ptx.HalfLow(bits.Y);
        result.W = Ptx.HalfHigh(bits.Y);
        return result;
    }
}
