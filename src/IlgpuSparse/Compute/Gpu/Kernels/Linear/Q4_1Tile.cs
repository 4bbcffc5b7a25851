using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_1, eight blocks a stage: 20 bytes a block of 32, scale and minimum first; nibbles as in Q4_0 without the offset.</summary>
internal readonly struct Q4_1Tile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 80;

    public static int Chunks => 11;

    public static int Slot => 11;

    public static int Stages => 3;

    public static bool Aligned => false;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => true;

    public static bool Crossed => true;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        uint codes = ring.Cast<uint>()[(at >> 1) + 5 * run + 1 + t];
        return LinearOps.Nibbles(codes, 0x4c004c00u); // NibbleBias
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t)
    {
        var words = ring.Cast<uint>();
        uint first = words[(at >> 1) + 5 * t], second = words[(at >> 1) + 5 * t + 20];
        F4 result;
        result.X = Ptx.HalfLow(first);
        result.Y = Ptx.HalfHigh(first);
        result.Z = Ptx.HalfLow(second);
        result.W = Ptx.HalfHigh(second);
        return result;
    }
}
