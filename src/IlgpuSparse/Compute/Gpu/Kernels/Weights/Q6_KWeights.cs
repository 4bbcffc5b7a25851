using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Weights;

/// <summary>
/// GGUF Q6_K: 210 bytes a super-block of 256: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, one fp16 scale; codes offset by 32. Aligned to two bytes only.
/// </summary>
internal readonly struct Q6_KWeights : IWeightCodec
{
    public static F4 Quad(ArrayView<ushort> data, long quad)
    {
        long super = (quad >> 6) * 105;
        int inside = (int)(quad & 63), half = inside >> 5, quarter = (inside >> 3) & 3, l = (inside & 7) << 2;
        long lowAt = super + ((half << 6) + ((quarter & 1) << 5) + l >> 1);
        long highAt = super + 64 + ((half << 5) + l >> 1);
        int lowShift = (quarter >> 1) << 2, highShift = quarter << 1;
        uint low = (data[lowAt] | (uint)data[lowAt + 1] << 16) >> lowShift;
        uint high = (data[highAt] | (uint)data[highAt + 1] << 16) >> highShift;
        uint codes = (low & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4);

        int scaleIndex = (half << 3) + (l >> 4) + (quarter << 1);
        uint scales = data[super + 96 + (scaleIndex >> 1)];
        int blockScale = (int)(scales << (24 - ((scaleIndex & 1) << 3))) >> 24;
        float scale = Ptx.HalfLow(data[super + 104]) * blockScale;
        F4 result;
        result.X = scale * ((int)(codes & 63) - 32);
        result.Y = scale * ((int)((codes >> 8) & 63) - 32);
        result.Z = scale * ((int)((codes >> 16) & 63) - 32);
        result.W = scale * ((int)((codes >> 24) & 63) - 32);
        return result;
    }
}
