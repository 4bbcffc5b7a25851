using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Signed bytes as half-precision pairs, exactly, in two instructions: a byte b, its sign bit inverted, in the low bits of 1024 is 1152 + b. The words that these take have all four sign bits inverted (<see cref="Biased"/>).
/// </summary>
internal static class ByteOps
{
    /// <summary>Inverts the sign bits of a word of four bytes.</summary>
    public static uint Biased(uint word) => word ^ 0x80808080u;

    /// <summary>Bytes 0 and 1.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 bp, bs; prmt.b32 bp, $0, 0x64646464, 0x4140; mov.b32 bs, 0x64806480; sub.rn.f16x2 $r, bp, bs; }")]
    public static uint LowHalves(uint biased) => Halves(biased, 0, 1);

    /// <summary>Bytes 2 and 3.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 bp, bs; prmt.b32 bp, $0, 0x64646464, 0x4342; mov.b32 bs, 0x64806480; sub.rn.f16x2 $r, bp, bs; }")]
    public static uint HighHalves(uint biased) => Halves(biased, 2, 3);

    /// <summary>Bytes 0 and 2.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 bp, bs; prmt.b32 bp, $0, 0x64646464, 0x4240; mov.b32 bs, 0x64806480; sub.rn.f16x2 $r, bp, bs; }")]
    public static uint EvenHalves(uint biased) => Halves(biased, 0, 2);

    /// <summary>Bytes 1 and 3.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .b32 bp, bs; prmt.b32 bp, $0, 0x64646464, 0x4341; mov.b32 bs, 0x64806480; sub.rn.f16x2 $r, bp, bs; }")]
    public static uint OddHalves(uint biased) => Halves(biased, 1, 3);

    private static uint Halves(uint biased, int low, int high) =>
        TensorOps.PackHalf((int)((biased >> (8 * low)) & 0xffu) - 128, (int)((biased >> (8 * high)) & 0xffu) - 128);
}
