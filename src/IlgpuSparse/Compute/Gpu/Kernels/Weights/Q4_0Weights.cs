using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>GGUF Q4_0: 18 bytes a block of 32, scale first; byte j has number j in its low and number j + 16 in its high nibble, offset by 8.</summary>
internal readonly struct Q4_0Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        long block = (quad >> 3) * 9;
        long codes = block + 1 + (quad & 3) * 2;
        int shift = (int)(quad & 4);
        float scale = Ptx.HalfLow(data[block]);
        uint low = (uint)data[codes] >> shift, high = (uint)data[codes + 1] >> shift;
        F4 result;
        result.X = scale * ((int)(low & 15) - 8);
        result.Y = scale * ((int)((low >> 8) & 15) - 8);
        result.Z = scale * ((int)(high & 15) - 8);
        result.W = scale * ((int)((high >> 8) & 15) - 8);
        return result;
    }
}
