using ILGPU.IR.Intrinsics;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Integer products of matrix fragments held by a warp.</summary>
internal static class TensorCore
{
    /// <summary>
    /// c + a · b with a 16 × 32 of unsigned and b 32 × 8 of signed bytes, exact in 32 bits. A lane holds of a the columns 4t .. 4t + 3 of rows g and g + 8 (X, Y) and the columns
    /// 16 + 4t .. of the same rows (Z, W), of b the same of column g (X, Y), and of c the columns 2t, 2t + 1 of rows g (X, Y) and g + 8 (Z, W);
    /// g = lane / 4 and t = lane % 4.
    /// </summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static I4 Multiply(U4 a, U2 b, I4 c) => TensorOps.MultiplyBytes(a, b, c, signed: false);

    /// <summary>The same with a of signed bytes.</summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static I4 MultiplySigned(U4 a, U2 b, I4 c) => TensorOps.MultiplyBytes(a, b, c, signed: true);

    /// <summary>The same with a 16 × 16 and b 16 × 8: of a the columns 4t .. of rows g and g + 8, of b the same of column g.</summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1}, {$1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static I4 MultiplySigned(U2 a, uint b, I4 c) => TensorOps.MultiplyBytes(new U4 { X = a.X, Y = a.Y }, new U2 { X = b }, c, signed: true);

    /// <summary>The nearest integer, ties to even.</summary>
    [IntrinsicImplementation, PtxOp("cvt.rni.s32.f32 $r, $0;")]
    public static int Nearest(float x) => (int)MathF.Round(x, MidpointRounding.ToEven);
}
