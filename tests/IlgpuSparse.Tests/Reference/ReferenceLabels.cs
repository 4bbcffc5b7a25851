using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>The label quantiser and the label product in double precision, written from the definition.</summary>
internal static class ReferenceLabels
{
    /// <summary>Where a channel lies on the scale of codes, before rounding and clamping.</summary>
    public static double StaticLevel(float k, float offset, float step, LabelFormat format) => ((double)k - offset) / step + (Levels(format) - 1) / 2.0;

    /// <summary>The same with the minimum and step of the token; 0 when all its channels are alike.</summary>
    public static double TokenLevel(float k, Half minimum, Half step) => step > (Half)0 ? ((double)k - (double)minimum) / (double)step : 0;

    /// <summary>The code of a level; exact unless the level is a tie, where either neighbour is right.</summary>
    public static int Code(double level, LabelFormat format) => (int)Math.Clamp(Math.Round(level), 0, Levels(format) - 1);

    /// <summary>Whether rounding noise decides the code.</summary>
    public static bool IsTie(double level) => Math.Abs(level - Math.Floor(level) - 0.5) < 1e-4;

    /// <summary>Number of codes.</summary>
    public static int Levels(LabelFormat format) => 1 << format.Bits();

    /// <summary>Code of channel <paramref name="rank"/> in the words of one token.</summary>
    public static int Unpack(ReadOnlySpan<uint> words, LabelFormat format, int rank)
    {
        int bits = format.Bits(), bit = rank * bits;
        return (int)(words[bit / 32] >> (bit % 32)) & ((1 << bits) - 1);
    }

    /// <summary>Score of one token for one query, and the sum of the magnitudes that rounding errors are relative to.</summary>
    /// <param name="query">The query at the label's channels, by rank.</param>
    /// <param name="label">What the label means by channel.</param>
    /// <param name="magnitude">The largest number that each channel is computed from.</param>
    /// <param name="scale">1/√d.</param>
    public static (double Score, double Magnitude) Score(ReadOnlySpan<double> query, ReadOnlySpan<double> label, ReadOnlySpan<double> magnitude, double scale)
    {
        double score = 0, size = 0;
        for (int i = 0; i < query.Length; i++)
        {
            score += query[i] * label[i] * scale;
            size += Math.Abs(query[i]) * magnitude[i] * scale;
        }
        return (score, size);
    }
}
