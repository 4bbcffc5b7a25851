using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q8_0, eight blocks a stage: 34 bytes a block of 32, scale first.</summary>
internal readonly struct Q8_0Tile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 136;

    public static int Chunks => 18;

    public static int Slot => 19;

    public static int Stages => 2;

    public static bool Aligned => false;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => false;

    public static bool Crossed => false;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        int codes = at + 17 * run + 1 + 2 * t;
        return LinearOps.Halves(TwoByteUnits.Word(ring, codes) ^ 0x80808080u, TwoByteUnits.Word(ring, codes + 8) ^ 0x80808080u, 0x64806480u);
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t)
    {
        var units = ring.Cast<ushort>();
        F4 result = default;
        result.X = Ptx.HalfLow(units[at + 17 * t]);
        result.Z = Ptx.HalfLow(units[at + 17 * t + 68]);
        return result;
    }
}
