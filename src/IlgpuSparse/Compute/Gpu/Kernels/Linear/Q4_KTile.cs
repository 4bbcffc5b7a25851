using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_K, a super-block a stage: each 32 bytes of codes hold one run in the low nibbles and the next in the high ones.</summary>
internal readonly struct Q4_KTile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 72;

    public static int Chunks => 9;

    public static int Slot => 9;

    public static int Stages => 3;

    public static bool Aligned => true;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => true;

    public static bool Crossed => true;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        var words = ring.Cast<uint>();
        int codes = (at >> 1) + 4 + (run >> 1) * 8 + t;
        return LinearOps.Nibbles(words[codes], words[codes + 4], run & 1);
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t) => KBlockScale.Pair(ring[at >> 3], t, LinearOps.NibbleBias);
}
