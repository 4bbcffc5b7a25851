namespace IlgpuSparse.Calibration;

/// <summary>How the bits of a label are dealt out to its channels or directions.</summary>
internal static class BitAllocation
{
    /// <summary>Most bits of one of them.</summary>
    public const int MostBits = 6;

    // Mean square error of the best uniform quantiser of a Gaussian with variance 1, by bits (Max 1960), and its step.
    private static readonly double[] s_error = [1, 0.3634, 0.1188, 0.03744, 0.01154, 0.003495, 0.00104];
    private static readonly float[] s_step = [0, 1.5958f, 0.9957f, 0.5860f, 0.3352f, 0.1881f, 0.1041f];

    /// <summary>The step of the best uniform quantiser, in deviations.</summary>
    public static float Step(int bits) => s_step[bits];

    /// <summary>Mean square error that <paramref name="bits"/> leave of variance 1.</summary>
    public static double Error(int bits) => s_error[bits];

    /// <summary>
    /// Reverse water-filling: bits by channel, <paramref name="total"/> of them together, each given to where it takes most of the error Σ weight · error(bits); among equals to the first.
    /// </summary>
    /// <param name="weights">Variance that leaving each channel out adds to the logits.</param>
    /// <param name="total">Bits.</param>
    /// <exception cref="ArgumentException">More bits than the channels can have.</exception>
    public static int[] Fill(IReadOnlyList<double> weights, int total)
    {
        if (total > MostBits * weights.Count) throw new ArgumentException($"{total} bits are more than {weights.Count} channels of at most {MostBits} can have", nameof(total));
        var bits = new int[weights.Count];
        for (int n = 0; n < total; n++)
        {
            int best = -1;
            double most = double.NegativeInfinity;
            for (int i = 0; i < bits.Length; i++)
            {
                if (bits[i] == MostBits) continue;
                double gain = weights[i] * (s_error[bits[i]] - s_error[bits[i] + 1]);
                if (!(gain > most)) continue;
                most = gain;
                best = i;
            }
            bits[best]++;
        }
        return bits;
    }
}
