using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>2^x for x ≤ 0, which is all that a softmax with its maximum taken off needs (logits in units of log 2).</summary>
internal static class Exp2<V>
    where V : struct, ISimd<V>
{
    // 1.5 · 2^23 rounds x to an integer n in the low bits of the sum; 126 more makes those bits the exponent field of 2^(n-1). The polynomial is twice 2^f: so the
    // smallest results are zero and never subnormal, which the multiplications to come would take at a hundredth of their speed.
    private const float Magic = 12582912f + 126f;

    /// <summary>
    /// x = n + f with f in ±½; a minimax polynomial of degree 6 for 2^f that is exactly 1 at 0 (relative error 2.6e-9 before rounding). Below -125.5, -∞ included, the result is 0; NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Of(V x)
    {
        x = V.Max(V.Create(-126f), x);
        var shifted = V.Add(x, V.Create(Magic));
        var f = V.Subtract(x, V.Subtract(shifted, V.Create(Magic)));
        var p = V.MultiplyAdd(V.Create(2f * 0.0001559467816132662f), f, V.Create(2f * 0.0013406643902351759f));
        p = V.MultiplyAdd(p, f, V.Create(2f * 0.009617692972993062f));
        p = V.MultiplyAdd(p, f, V.Create(2f * 0.05550310551013797f));
        p = V.MultiplyAdd(p, f, V.Create(2f * 0.24022652782887738f));
        p = V.MultiplyAdd(p, f, V.Create(2f * 0.6931472149680279f));
        p = V.MultiplyAdd(p, f, V.Create(2f));
        return V.Multiply(p, V.ShiftLeft(shifted, 23));
    }
}
