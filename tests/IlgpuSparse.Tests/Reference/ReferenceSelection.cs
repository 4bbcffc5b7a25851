using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>Selection by a full stable sort.</summary>
internal static class ReferenceSelection
{
    /// <summary>The positions that <paramref name="rule"/> takes of <paramref name="first"/> .. <paramref name="position"/>, ascending; <paramref name="scores"/> by position.</summary>
    public static int[] Select(ReadOnlySpan<float> scores, int first, int position, SelectionRule rule)
    {
        int visible = position + 1 - first, budget = rule.Budget(visible);
        var forced = Enumerable.Range(first, visible).Where(p => p < first + rule.Sinks || p > position - Math.Max(1, rule.Recent)).ToHashSet();
        var values = scores.ToArray();
        var best = Enumerable.Range(first, visible).Where(p => !forced.Contains(p))
            .OrderByDescending(p => values[p], Comparer<float>.Create(Compare)).ThenBy(p => p).Take(Math.Max(0, budget - forced.Count));
        return [.. forced.Concat(best).Order().Take(budget)];
    }

    // NaN below everything, both zeros alike.
    private static int Compare(float a, float b) => float.IsNaN(a) || float.IsNaN(b) ? float.IsNaN(b).CompareTo(float.IsNaN(a)) : a == b ? 0 : a < b ? -1 : 1;
}
