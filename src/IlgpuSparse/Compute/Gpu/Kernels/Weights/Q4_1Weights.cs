using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>GGUF Q4_1: 20 bytes a block of 32, scale and minimum first; nibbles as in <see cref="Q4_0Weights"/> without the offset.</summary>
internal readonly struct Q4_1Weights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        var words = data.Cast<uint>();
        long block = (quad >> 3) * 5;
        uint header = words[block];
        uint codes = words[block + 1 + (quad & 3)] >> (int)(quad & 4);
        float scale = Ptx.HalfLow(header), minimum = Ptx.HalfHigh(header);
        F4 result;
        result.X = scale * (int)(codes & 15) + minimum;
        result.Y = scale * (int)((codes >> 8) & 15) + minimum;
        result.Z = scale * (int)((codes >> 16) & 15) + minimum;
        result.W = scale * (int)((codes >> 24) & 15) + minimum;
        return result;
    }
}
