namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Shared memory of a <see cref="RowStreamKernel"/> group, in units of 16 bytes, after the warps' rings.</summary>
internal struct StreamMemory
{
    /// <summary>Start of the activations: two limbs of four columns a unit.</summary>
    public int X;

    /// <summary>Start of what limbs are multiples of <c>[256 columns]</c>, as floats.</summary>
    public int Scales;

    /// <summary>Start of the warps' sums of squares, see <see cref="InputParts"/>: eight bytes each.</summary>
    public int Squares;

    /// <summary>Start of the products <c>[pair, stage]</c>, as pairs of floats: each at the first stage of those that a warp has summed; nothing lies at the others.</summary>
    public int Products;

    /// <summary>Start of the epilogue's terms (<see cref="EpilogueTerms"/>), if it has any.</summary>
    public int Terms;

    /// <summary>All of it.</summary>
    public int Total;

    /// <summary>The layout for stages of <paramref name="units"/> a row and <paramref name="quads"/> times four columns.</summary>
    public static StreamMemory Of(int depth, int warps, int units, int rowStages, int quads, int pairs)
    {
        StreamMemory m;
        m.X = warps * depth * 2 * units;
        m.Scales = m.X + rowStages * quads;
        m.Squares = m.Scales + (rowStages * quads / 64 + 3 >> 2);
        m.Products = m.Squares + InputParts.SquareUnits;
        m.Terms = m.Products + (pairs * rowStages + 1 >> 1);
        m.Total = m.Terms + pairs * EpilogueTerms.Units;
        return m;
    }
}
