using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>2^x for x ≤ 0, which is all that a softmax with its maximum taken off needs (logits in units of log 2).</summary>
internal static class Exp2<TLanes, TVector>
    where TLanes : struct, IVectorLanes<TVector>
    where TVector : struct
{
    // 1.5 · 2^23 rounds x to an integer n in the low bits of the sum; 126 more makes those bits the exponent field of 2^(n-1). The polynomial is twice 2^f: so the
    // smallest results are zero and never subnormal, which the multiplications to come would take at a hundredth of their speed.
    private const float Magic = 12582912f + 126f;

    /// <summary>
    /// x = n + f with f in ±½; a minimax polynomial of degree 6 for 2^f that is exactly 1 at 0 (relative error 2.6e-9 before rounding). Below -125.5, -∞ included, the result is 0; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Of(TVector x)
    {
        x = TLanes.Max(TLanes.Fill(-126f), x);
        var shifted = TLanes.Add(x, TLanes.Fill(Magic));
        var f = TLanes.Subtract(x, TLanes.Subtract(shifted, TLanes.Fill(Magic)));
        var p = TLanes.MultiplyAdd(TLanes.Fill(2f * 0.0001559467816132662f), f, TLanes.Fill(2f * 0.0013406643902351759f));
        p = TLanes.MultiplyAdd(p, f, TLanes.Fill(2f * 0.009617692972993062f));
        p = TLanes.MultiplyAdd(p, f, TLanes.Fill(2f * 0.05550310551013797f));
        p = TLanes.MultiplyAdd(p, f, TLanes.Fill(2f * 0.24022652782887738f));
        p = TLanes.MultiplyAdd(p, f, TLanes.Fill(2f * 0.6931472149680279f));
        p = TLanes.MultiplyAdd(p, f, TLanes.Fill(2f));
        return TLanes.Multiply(p, TLanes.BitsToExponent(shifted));
    }
}
