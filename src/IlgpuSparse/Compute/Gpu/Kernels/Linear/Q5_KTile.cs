using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q5_K, a super-block a stage: as Q4_K with 32 bytes of fifth bits before the codes, bit b of byte l for number l of run b.</summary>
internal readonly struct Q5_KTile : ITileCodec
{
    public static int Runs => 8;

    public static int Units => 88;

    public static int Chunks => 11;

    public static int Slot => 11;

    public static int Stages => 3;

    public static bool Aligned => true;

    public static int Limbs => 2;

    public static bool Scaled => true;

    public static bool HalfRunScales => false;

    public static bool HasOffsets => true;

    public static bool Crossed => false;

    public static U4 Numbers(ArrayView<U4> ring, int at, int run, int t)
    {
        var words = ring.Cast<uint>();
        int fifth = (at >> 1) + 4 + t, codes = (at >> 1) + 12 + (run >> 1) * 8 + t, shift = (run & 1) * 4;
        uint first = words[codes] >> shift & 0x0f0f0f0fu | (words[fifth] >> run & 0x01010101u) << 4;
        uint second = words[codes + 4] >> shift & 0x0f0f0f0fu | (words[fifth + 4] >> run & 0x01010101u) << 4;
        return LinearOps.Halves(first, second, 0x64006400u);
    }

    public static F4 Scales(ArrayView<U4> ring, int at, int t) => KBlockScale.Pair(ring[at >> 3], t, 0f);
}
