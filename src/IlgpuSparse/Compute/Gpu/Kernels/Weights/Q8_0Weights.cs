using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>GGUF Q8_0: 34 bytes a block of 32, scale first. Blocks are aligned to two bytes only.</summary>
internal readonly struct Q8_0Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        long block = (quad >> 3) * 17;
        long codes = block + 1 + (quad & 7) * 2;
        float scale = Ptx.HalfLow(data[block]);
        uint low = data[codes], high = data[codes + 1];
        F4 result;
        result.X = scale * ((int)(low << 24) >> 24);
        result.Y = scale * ((int)(low << 16) >> 24);
        result.Z = scale * ((int)(high << 24) >> 24);
        result.W = scale * ((int)(high << 16) >> 24);
        return result;
    }
}
