namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Shared memory of a <see cref="LinearKernel"/> group, in units of 16 bytes: the warps' rings, the activations, what belongs to them, and the warps' results.</summary>
internal struct LinearMemory
{
    /// <summary>Start of the activations: columns of limbs, <c>[row · Limbs + limb, Stride]</c>.</summary>
    public int X;

    /// <summary>Units a column; 64 bytes more than whole 128s, so that two columns lie in different banks.</summary>
    public int Stride;

    /// <summary>Start of the sums of runs <c>[row, run]</c>, as floats.</summary>
    public int Sums;

    /// <summary>Start of one inverse scale a row, as floats.</summary>
    public int Inverses;

    /// <summary>Start of the warps' results <c>[parity, warp, slot, column]</c>, as floats; before the first tile the warps' sums and maxima.</summary>
    public int Results;

    /// <summary>One unit of zeros.</summary>
    public int Zero;

    /// <summary>All of it.</summary>
    public int Total;

    /// <summary>The layout.</summary>
    public static LinearMemory Of(int ring, int warps, int rowStages, int runs, int limbs, int rows, int columnTiles)
    {
        LinearMemory m;
        m.X = warps * ring;
        m.Stride = rowStages * runs * 4 + 4;
        m.Sums = m.X + m.Stride * limbs * rows;
        m.Inverses = m.Sums + ((rows * rowStages * runs + 3) >> 2);
        m.Zero = m.Inverses + ((rows + 3) >> 2);
        m.Results = m.Zero + 1;
        m.Total = m.Results + warps * 2 * 16 * columnTiles;
        return m;
    }
}
