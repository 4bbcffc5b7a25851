namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Shared memory of a <see cref="RowDigitKernel"/> group, in units of 16 bytes, after the warps' rings.</summary>
internal struct DigitMemory
{
    /// <summary>Floats of an eight rows' products: one for each row and warp, and four more, so that eight rows of eight tiles lie in banks of their own.</summary>
    public const int ProductFloats = 8 * RowDigitKernel.Warps + 4;

    /// <summary>Start of the activations' digits <c>[pair of blocks, digit, 8 columns of 32, block]</c>, eight bytes each; digits of every other pair change places two and two.</summary>
    public int X;

    /// <summary>Start of the digits of the blocks' sums <c>[eight blocks, digit, block]</c>, a byte each.</summary>
    public int Sums;

    /// <summary>Start of the warps' sums of squares and largest numbers, as pairs of floats.</summary>
    public int Factors;

    /// <summary>Start of the products <c>[eight rows, warp, row]</c>, as floats.</summary>
    public int Products;

    /// <summary>All of it.</summary>
    public int Total;

    /// <summary>The layout for <paramref name="octs"/> times eight columns and a group of <paramref name="eights"/> times eight rows.</summary>
    public static DigitMemory Of(int ring, int warps, int octs, int eights)
    {
        DigitMemory m;
        m.X = warps * ring;
        m.Sums = m.X + 2 * octs;
        m.Factors = m.Sums + (octs >> 4);
        m.Products = m.Factors + (warps + 1 >> 1);
        m.Total = m.Products + eights * (ProductFloats / 4);
        return m;
    }
}
