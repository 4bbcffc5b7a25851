namespace IlgpuSparse.Compute;

/// <summary>How many tokens a sparse step reads, and which of them whatever their score.</summary>
/// <param name="Numerator">Budget as a fraction of the visible tokens: numerator (0 when the budget is absolute).</param>
/// <param name="Denominator">Budget as a fraction of the visible tokens: denominator.</param>
/// <param name="MinTokens">The budget is never smaller than this; an absolute budget is this with a zero numerator.</param>
/// <param name="Sinks">First visible tokens that are always in.</param>
/// <param name="Recent">Last tokens that are always in, the current one counted; at least 1.</param>
public readonly record struct SelectionRule(int Numerator, int Denominator, int MinTokens, int Sinks = 0, int Recent = 1)
{
    /// <summary>
    /// Tokens read of <paramref name="visible"/>: ceil(fraction · visible), at least <see cref="MinTokens"/> and the forced ones, at most all.
    /// </summary>
    public int Budget(int visible)
    {
        long fraction = Numerator == 0 ? 0 : ((long)visible * Numerator + Denominator - 1) / Denominator;
        long wanted = Math.Max(Math.Max(fraction, MinTokens), Sinks + Math.Max(1, Recent));
        return (int)Math.Min(wanted, visible);
    }
}
