namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Shared memory of a <see cref="RowStreamKernel"/> group, in units of 16 bytes, after the warps' rings.</summary>
internal struct StreamMemory
{
    /// <summary>Start of the activations: two limbs of four columns a unit.</summary>
    public int X;

    /// <summary>Start of the warps' sums of squares and largest numbers, as pairs of floats.</summary>
    public int Factors;

    /// <summary>Start of the products <c>[pair, stage]</c>, as pairs of floats: each at the first stage of those that a warp has summed.</summary>
    public int Products;

    /// <summary>All of it.</summary>
    public int Total;

    /// <summary>The layout for stages of <paramref name="units"/> a row and <paramref name="quads"/> times four columns.</summary>
    public static StreamMemory Of(int warps, int units, int rowStages, int quads, int pairs)
    {
        StreamMemory m;
        m.X = warps * RowStreamKernel.RingUnits(units);
        m.Factors = m.X + rowStages * quads;
        m.Products = m.Factors + (warps + 1 >> 1);
        m.Total = m.Products + (pairs * rowStages + 1 >> 1);
        return m;
    }
}
