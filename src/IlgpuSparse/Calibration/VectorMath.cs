using System.Numerics;

namespace IlgpuSparse.Calibration;

/// <summary>The inner loops of calibration.</summary>
internal static class VectorMath
{
    /// <summary>a · b.</summary>
    public static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        b = b[..a.Length];
        Vector<float> even = Vector<float>.Zero, odd = Vector<float>.Zero;
        int i = 0;
        for (; i <= a.Length - 2 * Vector<float>.Count; i += 2 * Vector<float>.Count)
        {
            even += new Vector<float>(a[i..]) * new Vector<float>(b[i..]);
            odd += new Vector<float>(a[(i + Vector<float>.Count)..]) * new Vector<float>(b[(i + Vector<float>.Count)..]);
        }
        float sum = Vector.Sum(even + odd);
        for (; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }

    /// <summary>y += factor · x.</summary>
    public static void AddScaled(double factor, ReadOnlySpan<double> x, Span<double> y)
    {
        y = y[..x.Length];
        var f = new Vector<double>(factor);
        int i = 0;
        for (; i <= x.Length - Vector<double>.Count; i += Vector<double>.Count) (new Vector<double>(y[i..]) + f * new Vector<double>(x[i..])).CopyTo(y[i..]);
        for (; i < x.Length; i++) y[i] += factor * x[i];
    }

    /// <summary>y += factor · x.</summary>
    public static void AddScaled(float factor, ReadOnlySpan<float> x, Span<float> y)
    {
        y = y[..x.Length];
        var f = new Vector<float>(factor);
        int i = 0;
        for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(y[i..]) + f * new Vector<float>(x[i..])).CopyTo(y[i..]);
        for (; i < x.Length; i++) y[i] += factor * x[i];
    }

    /// <summary>exp(x) / Σ exp(x) in place.</summary>
    public static void SoftMax(Span<float> logits)
    {
        float largest = float.NegativeInfinity;
        foreach (float x in logits) largest = MathF.Max(largest, x);
        double sum = 0;
        for (int j = 0; j < logits.Length; j++)
        {
            logits[j] = MathF.Exp(logits[j] - largest);
            sum += logits[j];
        }
        for (int j = 0; j < logits.Length; j++) logits[j] /= (float)sum;
    }
}
