using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>GGUF Q4_K: 144 bytes a super-block of 256; each 32 bytes of codes hold one block of 32 in the low nibbles and the next in the high ones.</summary>
internal readonly struct Q4_KWeights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        long super = quad >> 6;
        int inside = (int)(quad & 63), block = inside >> 3;
        var header = data.Cast<U4>()[super * 9];
        uint codes = data.Cast<uint>()[super * 36 + 4 + ((block >> 1) << 3) + (inside & 7)] >> ((block & 1) << 2);
        float step = KBlockScale.Step(header, block), offset = KBlockScale.Offset(header, block);
        F4 result;
        result.X = step * (int)(codes & 15) - offset;
        result.Y = step * (int)((codes >> 8) & 15) - offset;
        result.Z = step * (int)((codes >> 16) & 15) - offset;
        result.W = step * (int)((codes >> 24) & 15) - offset;
        return result;
    }
}
