using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>GGUF Q5_K: 176 bytes a super-block of 256: as <see cref="Q4_KWeights"/> with 32 bytes of fifth bits before the codes, bit b of byte l for number l of block b.</summary>
internal readonly struct Q5_KWeights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        long super = quad >> 6;
        int inside = (int)(quad & 63), block = inside >> 3;
        var header = data.Cast<U4>()[super * 11];
        var words = data.Cast<uint>();
        uint fifth = words[super * 44 + 4 + (inside & 7)] >> block;
        uint codes = words[super * 44 + 12 + ((block >> 1) << 3) + (inside & 7)] >> ((block & 1) << 2);
        codes = (codes & 0x0f0f0f0fu) | ((fifth & 0x01010101u) << 4);
        float step = KBlockScale.Step(header, block), offset = KBlockScale.Offset(header, block);
        F4 result;
        result.X = step * (int)(codes & 31) - offset;
        result.Y = step * (int)((codes >> 8) & 31) - offset;
        result.Z = step * (int)((codes >> 16) & 31) - offset;
        result.W = step * (int)((codes >> 24) & 31) - offset;
        return result;
    }
}
