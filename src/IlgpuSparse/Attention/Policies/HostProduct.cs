using System.Numerics;

namespace IlgpuSparse.Attention.Policies;

/// <summary>Products of short rows on the host, with the vectors that the processor has.</summary>
internal static class HostProduct
{
    /// <summary>a · b, both as long as <paramref name="a"/>.</summary>
    public static float Of(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Vector<float> first = Vector<float>.Zero, second = Vector<float>.Zero;
        int i = 0;
        for (; i <= a.Length - 2 * Vector<float>.Count; i += 2 * Vector<float>.Count)
        {
            first = Vector.FusedMultiplyAdd(new Vector<float>(a[i..]), new Vector<float>(b[i..]), first);
            second = Vector.FusedMultiplyAdd(new Vector<float>(a[(i + Vector<float>.Count)..]), new Vector<float>(b[(i + Vector<float>.Count)..]), second);
        }
        float sum = Vector.Sum(first + second);
        for (; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }

    /// <summary>Turns logits into weights that sum to one; returns the logarithm of the sum of their exponentials.</summary>
    public static float Softmax(Span<float> logits)
    {
        float largest = float.NegativeInfinity, sum = 0;
        foreach (float x in logits) largest = Math.Max(largest, x);
        int i = 0;
        var sums = Vector<float>.Zero;
        var maximum = new Vector<float>(largest);
        for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var e = Vector.Exp(new Vector<float>(logits[i..]) - maximum);
            e.CopyTo(logits[i..]);
            sums += e;
        }
        sum = Vector.Sum(sums);
        for (; i < logits.Length; i++) sum += logits[i] = MathF.Exp(logits[i] - largest);
        float factor = 1 / sum;
        for (i = 0; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(logits[i..]) * factor).CopyTo(logits[i..]);
        for (; i < logits.Length; i++) logits[i] *= factor;
        return largest + MathF.Log(sum);
    }
}
