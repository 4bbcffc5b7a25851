using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_0, eight blocks a stage: 18 bytes a block of 32, scale first; byte j has number j in its low and number j + 16 in its high nibble, offset by 8.</summary>
internal readonly struct Q4_0Tile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 72;

    public static int Chunks => 10;

    public static int Slot => 11;

    public static int Stages => 3;

    public static bool Aligned => false;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => false;

    public static bool Crossed => true;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        uint codes = TwoByteUnits.Word(ring, at + 9 * run + 1 + 2 * t);
        return LinearOps.Nibbles(codes, 0x4e004e00u); // NibbleBias + 8
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t)
    {
        var units = ring.Cast<ushort>();
        F4 result = default;
        result.X = Ptx.HalfLow(units[at + 9 * t]);
        result.Z = Ptx.HalfLow(units[at + 9 * t + 36]);
        return result;
    }
}
