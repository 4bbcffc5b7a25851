using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>Selection by a full stable sort, and the share of the mass by adding up in its order.</summary>
internal static class ReferenceSelection
{
    /// <summary>The positions that <paramref name="rule"/> takes of <paramref name="first"/> .. <paramref name="position"/>, ascending; <paramref name="scores"/> by position.</summary>
    public static int[] Select(ReadOnlySpan<float> scores, int first, int position, SelectionRule rule)
    {
        int visible = position + 1 - first, budget = rule.Budget(visible);
        var forced = Enumerable.Range(first, visible).Where(p => p < first + rule.Sinks || p > position - Math.Max(1, rule.Recent)).ToHashSet();
        var values = scores.ToArray();
        int[] order = [.. forced.Order(), .. Enumerable.Range(first, visible).Where(p => !forced.Contains(p)).OrderByDescending(p => values[p], Comparer<float>.Create(Compare)).ThenBy(p => p)];
        int count = budget;
        if (rule.TopP < 1)
        {
            // the shortest prefix from the floor on that holds enough
            float[] seen = [.. order.Select(p => values[p])], numbers = [.. seen.Where(x => !float.IsNaN(x))];
            float maximum = numbers.Length == 0 ? float.NegativeInfinity : numbers.Max(), scale = TokenMass.Scale(rule.Temperature);
            UInt128 total = 0, mass = 0;
            foreach (float x in seen) total += TokenMass.Weight(x, maximum, scale);
            for (count = 0; count < budget && (count < rule.Least(visible) || mass * 65536 < total * rule.Share); count++) mass += TokenMass.Weight(seen[count], maximum, scale);
        }
        return [.. order.Take(count).Order()];
    }

    /// <summary>The share of the mass of <paramref name="first"/> .. <paramref name="position"/> that <paramref name="tokens"/> hold, by exponentials in double precision; 1 where nothing has a mass.</summary>
    public static double Share(ReadOnlySpan<float> scores, int first, int position, IEnumerable<int> tokens, float temperature)
    {
        var values = scores.ToArray();
        var visible = values[first..(position + 1)].Where(x => !float.IsNaN(x)).ToArray();
        if (visible.Length == 0) return 1;
        float maximum = visible.Max();
        double Weight(float x) => x == maximum ? 1 : float.IsNaN(x) ? 0 : Math.Exp(((double)x - maximum) * temperature);
        return tokens.Sum(t => Weight(values[t])) / visible.Sum(Weight);
    }

    // NaN below everything, both zeros alike.
    private static int Compare(float a, float b) => float.IsNaN(a) || float.IsNaN(b) ? float.IsNaN(b).CompareTo(float.IsNaN(a)) : a == b ? 0 : a < b ? -1 : 1;
}
