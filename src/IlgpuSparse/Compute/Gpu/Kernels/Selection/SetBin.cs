namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Where the last selected token of a set lies among the histograms (<see cref="ScoreBins"/>) of the set's groups, as one of them needs to know it.</summary>
internal struct SetBin
{
    /// <summary>The bin of the last selected token.</summary>
    public int Bin;

    /// <summary>Tokens of the set in bins before it.</summary>
    public int Before;

    /// <summary>Tokens of the set in it.</summary>
    public int Open;

    /// <summary>Those of <see cref="Before"/> that lie in groups before this one.</summary>
    public int EarlierBefore;

    /// <summary>Those of <see cref="Open"/> that lie in groups before this one.</summary>
    public int EarlierOpen;
}
