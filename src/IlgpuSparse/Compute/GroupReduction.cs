namespace IlgpuSparse.Compute;

/// <summary>How the scores of a group's query heads become one score a kv head.</summary>
public enum GroupReduction
{
    /// <summary>The largest of the heads' scores.</summary>
    Max,
    /// <summary>The sum: the same as scoring with the sum of the queries, one query for the whole group.</summary>
    Sum,
}
