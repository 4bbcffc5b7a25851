using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Scores, rule and result of a selection, as one kernel argument. A set's number is row · sets + set.</summary>
internal struct SelectView
{
    /// <summary>Position of each row.</summary>
    public ArrayView<int> Positions;

    /// <summary><c>[row, set, ScoreCapacity]</c>.</summary>
    public ArrayView<float> Scores;

    /// <summary>Selected positions, <c>[row, set, SetCapacity]</c>.</summary>
    public ArrayView<int> Indices;

    /// <summary><c>[row, set]</c>.</summary>
    public ArrayView<int> Counts;

    /// <summary>Room of a set in <see cref="Scores"/>.</summary>
    public int ScoreCapacity;

    /// <summary>Room of a set in <see cref="Indices"/>.</summary>
    public int SetCapacity;

    /// <summary>Tokens a query may look back; 0 for all.</summary>
    public int Window;

    /// <summary><see cref="SelectionRule.Numerator"/>.</summary>
    public int Numerator;

    /// <summary><see cref="SelectionRule.Denominator"/>.</summary>
    public int Denominator;

    /// <summary><see cref="SelectionRule.MinTokens"/>; where sets have the rule's budget the larger of it and <see cref="Floor"/>.</summary>
    public int MinTokens;

    /// <summary><see cref="TokenSets.Factors"/>, <c>[row, set]</c>; of length zero where sets have the rule's budget.</summary>
    public ArrayView<int> Factors;

    /// <summary><see cref="SelectionRule.Sinks"/>.</summary>
    public int Sinks;

    /// <summary><see cref="SelectionRule.Recent"/>.</summary>
    public int Recent;

    /// <summary><see cref="SelectionRule.Floor"/>.</summary>
    public int Floor;

    /// <summary><see cref="SelectionRule.Share"/>.</summary>
    public uint Share;

    /// <summary><see cref="TokenMass.Scale"/> of the rule's temperature.</summary>
    public float MassScale;

    /// <summary>Estimated share of the mass that a set holds, <c>[row, set]</c>; of length zero when nobody asks.</summary>
    public ArrayView<float> Shares;

    /// <summary>What a step leaves for the next kernel.</summary>
    public SelectScratch Scratch;
}
