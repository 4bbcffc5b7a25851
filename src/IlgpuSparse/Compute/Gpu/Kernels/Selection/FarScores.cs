using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Memory for the scores of a slice that shared memory has no room for.</summary>
internal struct FarScores
{
    /// <summary>Those of all sets.</summary>
    public ArrayView<float> Scores;

    /// <summary>Place of token 0 in them.</summary>
    public long Output;

    /// <summary>End of the tokens whose scores are in shared memory: whole units of a warp behind the slice's first token, or beyond all.</summary>
    public int NearEnd;

    /// <summary>First token whose score is here. Earlier than <see cref="NearEnd"/> by what a warp filters at once, which is then wholly in one place or the other.</summary>
    public readonly int Start => NearEnd - SetFilter.WarpTokens;
}
