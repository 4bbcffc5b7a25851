using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q6_K, a super-block a stage: 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, one fp16 scale; codes offset by 32.</summary>
internal readonly struct Q6_KTile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 105;

    public static int Chunks => 14;

    public static int Slot => 15;

    public static int Stages => 2;

    public static bool Aligned => false;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => true;

    public static bool HasOffsets => false;

    public static bool Crossed => false;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        int half = run >> 2, quarter = run & 3;
        int low = at + half * 32 + (quarter & 1) * 16 + 2 * t, high = at + 64 + half * 16 + 2 * t;
        int lowShift = (quarter >> 1) * 4, highShift = quarter * 2;
        uint first = TwoByteUnits.Word(ring, low) >> lowShift & 0x0f0f0f0fu | (TwoByteUnits.Word(ring, high) >> highShift & 0x03030303u) << 4;
        uint second = TwoByteUnits.Word(ring, low + 8) >> lowShift & 0x0f0f0f0fu | (TwoByteUnits.Word(ring, high + 8) >> highShift & 0x03030303u) << 4;
        return LinearOps.Halves(first, second, 0x64206420u);
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t)
    {
        var units = ring.Cast<ushort>();
        float scale = Ptx.HalfLow(units[at + 104]);
        int codes = at + 96 + (t >> 1), shift = 24 - (t & 1) * 8;
        F4 result;
        result.X = scale * ((int)((uint)units[codes] << shift) >> 24);
        result.Y = scale * ((int)((uint)units[codes + 2] << shift) >> 24);
        result.Z = scale * ((int)((uint)units[codes + 4] << shift) >> 24);
        result.W = scale * ((int)((uint)units[codes + 6] << shift) >> 24);
        return result;
    }
}
