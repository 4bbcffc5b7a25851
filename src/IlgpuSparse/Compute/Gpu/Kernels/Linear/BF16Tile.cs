using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>bfloat16: numbers as they are.</summary>
internal readonly struct BF16Tile : ITileCodec
{
    public static int Runs => 4;

    public static int Units => 128;

    public static int Chunks => 16;

    public static int Slot => 18;

    public static int Stages => 2;

    public static bool Aligned => true;

    public static int Limbs => 3;

    public static bool Scaled => false;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => false;

    public static bool Crossed => false;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t) => SixteenBitRun.Numbers(ring, at, run, t);

    public static F4 Scales(ArrayView<U4> ring, int at, int t) => default;
}
