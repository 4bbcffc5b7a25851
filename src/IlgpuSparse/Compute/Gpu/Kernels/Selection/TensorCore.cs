using ILGPU;
using ILGPU.IR.Intrinsics;

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
    public static I4 Multiply(U4 a, U2 b, I4 c)
    {
        // the CPU accelerator's form: every lane collects its rows of a and columns of b from the others
        int g = Warp.LaneIdx >> 2, t = Warp.LaneIdx & 3;
        for (int k = 0; k < 4; k++)
        {
            int row = g * 4 + k;
            uint upLow = Warp.Shuffle(a.X, row), downLow = Warp.Shuffle(a.Y, row), upHigh = Warp.Shuffle(a.Z, row), downHigh = Warp.Shuffle(a.W, row);
            int left = 2 * t * 4 + k, right = left + 4;
            uint leftLow = Warp.Shuffle(b.X, left), leftHigh = Warp.Shuffle(b.Y, left), rightLow = Warp.Shuffle(b.X, right), rightHigh = Warp.Shuffle(b.Y, right);
            c.X += Bytes(upLow, leftLow) + Bytes(upHigh, leftHigh);
            c.Y += Bytes(upLow, rightLow) + Bytes(upHigh, rightHigh);
            c.Z += Bytes(downLow, leftLow) + Bytes(downHigh, leftHigh);
            c.W += Bytes(downLow, rightLow) + Bytes(downHigh, rightHigh);
        }
        return c;
    }

    /// <summary>The nearest integer, ties to even.</summary>
    [IntrinsicImplementation, PtxOp("cvt.rni.s32.f32 $r, $0;")]
    public static int Nearest(float x) => (int)MathF.Round(x, MidpointRounding.ToEven);

    private static int Bytes(uint a, uint b)
    {
        int sum = 0;
        for (int i = 0; i < 32; i += 8) sum += (int)(byte)(a >> i) * (sbyte)(b >> i);
        return sum;
    }
}
