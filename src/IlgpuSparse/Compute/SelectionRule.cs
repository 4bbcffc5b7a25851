namespace IlgpuSparse.Compute;

/// <summary>How many tokens a sparse step reads, and which of them whatever their score.</summary>
/// <param name="Numerator">Budget as a fraction of the visible tokens: numerator (0 when the budget is absolute).</param>
/// <param name="Denominator">Budget as a fraction of the visible tokens: denominator.</param>
/// <param name="MinTokens">The budget is never smaller than this; an absolute budget is this with a zero numerator.</param>
/// <param name="Sinks">First visible tokens that are always in.</param>
/// <param name="Recent">Last tokens that are always in, the current one counted; at least 1.</param>
/// <param name="TopP">
/// Share of the estimated attention mass that is enough, from 2^-16 to 1: the set is the shortest one of forced tokens and highest scores that holds it, from <paramref name="Floor"/> to
/// <see cref="Budget"/> tokens. 1 for the budget whatever the mass. Kept in units of 2^-16.
/// </param>
/// <param name="Floor">Fewest tokens of a set, as far as that many are visible; the budget is never smaller.</param>
/// <param name="Temperature">What the scores are multiplied by before the mass exp(score) is taken: a calibration's answer to labels that spread less than logits do.</param>
/// <remarks>
/// The mass of a token is exp(<paramref name="Temperature"/> · score) over the sum of all visible tokens', as <see cref="TokenMass"/> rounds it. Where the query heads of a group share a set, the score is the
/// one that they were reduced to, so that the mass is the softmax of the heads' maxima or sums.
/// </remarks>
public readonly record struct SelectionRule(int Numerator, int Denominator, int MinTokens, int Sinks = 0, int Recent = 1, float TopP = 1, int Floor = 0, float Temperature = 1)
{
    /// <summary>
    /// Most tokens read of <paramref name="visible"/>: ceil(fraction · visible), at least <see cref="MinTokens"/>, <see cref="Floor"/> and the forced ones, at most all.
    /// </summary>
    public int Budget(int visible)
    {
        long fraction = Numerator == 0 ? 0 : ((long)visible * Numerator + Denominator - 1) / Denominator;
        long wanted = Math.Max(Math.Max(fraction, Math.Max(MinTokens, Floor)), Forced);
        return (int)Math.Min(wanted, visible);
    }

    /// <summary>Fewest tokens read of <paramref name="visible"/>: <see cref="Floor"/> and the forced ones; the budget without <see cref="TopP"/>.</summary>
    public int Least(int visible) => TopP >= 1 ? Budget(visible) : (int)Math.Min(Math.Max(Floor, Forced), visible);

    /// <summary>What budgets are scaled in parts of.</summary>
    public const int FactorUnits = 128;

    /// <summary>The rule with <paramref name="units"/> over <see cref="FactorUnits"/> times the budget, from one unit to 8 times; forced tokens, share and floor stay.</summary>
    public SelectionRule Scale(int units)
    {
        units = Math.Clamp(units, 1, 8 * FactorUnits);
        return Numerator == 0
            ? this with { MinTokens = (int)Math.Clamp((long)MinTokens * units / FactorUnits, 1, int.MaxValue) }
            : this with { Numerator = checked(Numerator * units), Denominator = checked(Denominator * FactorUnits) };
    }

    /// <summary>Tokens that are always in, of a long enough context.</summary>
    internal long Forced => (long)Sinks + Math.Max(1, Recent);

    /// <summary><see cref="TopP"/> in units of 2^-16, 0 for no limit by mass.</summary>
    internal uint Share => TopP >= 1 ? 0u : (uint)Math.Clamp(Math.Round(TopP * 65536.0), 1, 65535);
}
