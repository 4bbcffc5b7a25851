using ILGPU;
using ILGPU.IR.Intrinsics;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The product of half-precision matrix fragments held by a warp.</summary>
internal static class TensorCore
{
    /// <summary>
    /// c + a · b with a 16 × 16, b 16 × 8 and c 16 × 8 in single precision. With g = lane / 4 and t = lane % 4, a lane holds of a the columns 2t, 2t + 1 of rows g and g + 8 (X, Y) and the
    /// columns 2t + 8, 2t + 9 of the same rows (Z, W), of b the same of column g (X, Y), and of c the columns 2t, 2t + 1 of rows g (X, Y) and g + 8 (Z, W).
    /// </summary>
    [IntrinsicImplementation, PtxOp("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {$2.0, $2.1, $2.2, $2.3};")]
    public static F4 Multiply(U4 a, U2 b, F4 c)
    {
        // the CPU accelerator's form: every lane collects its rows of a and columns of b from the others
        int g = Warp.LaneIdx >> 2, t = Warp.LaneIdx & 3;
        for (int k = 0; k < 4; k++)
        {
            int row = g * 4 + k;
            uint upLow = Warp.Shuffle(a.X, row), downLow = Warp.Shuffle(a.Y, row), upHigh = Warp.Shuffle(a.Z, row), downHigh = Warp.Shuffle(a.W, row);
            int left = 2 * t * 4 + k, right = left + 4;
            uint leftLow = Warp.Shuffle(b.X, left), leftHigh = Warp.Shuffle(b.Y, left), rightLow = Warp.Shuffle(b.X, right), rightHigh = Warp.Shuffle(b.Y, right);
            c.X += Dot(upLow, leftLow) + Dot(upHigh, leftHigh);
            c.Y += Dot(upLow, rightLow) + Dot(upHigh, rightHigh);
            c.Z += Dot(downLow, leftLow) + Dot(downHigh, leftHigh);
            c.W += Dot(downLow, rightLow) + Dot(downHigh, rightHigh);
        }
        return c;
    }

    /// <summary>a · b. A constant zero is no operand of the instruction.</summary>
    [IntrinsicImplementation, PtxOp("{ .reg .f32 zero; mov.f32 zero, 0f00000000; mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {$r.0, $r.1, $r.2, $r.3}, {$0.0, $0.1, $0.2, $0.3}, {$1.0, $1.1}, {zero, zero, zero, zero}; }")]
    public static F4 Multiply(U4 a, U2 b) => Multiply(a, b, new F4());

    private static float Dot(uint a, uint b) =>
        (float)BitConverter.UInt16BitsToHalf((ushort)a) * (float)BitConverter.UInt16BitsToHalf((ushort)b)
        + (float)BitConverter.UInt16BitsToHalf((ushort)(a >> 16)) * (float)BitConverter.UInt16BitsToHalf((ushort)(b >> 16));
}
