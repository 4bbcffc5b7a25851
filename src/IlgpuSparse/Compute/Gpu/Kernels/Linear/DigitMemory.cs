using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Shared memory of a <see cref="RowDigitKernel"/> group, in units of 16 bytes, after the warps' rings.</summary>
internal struct DigitMemory
{
    /// <summary>Start of the activations' digits <c>[64 columns, digit, quarter of 32 columns, 32 columns]</c>, eight bytes each; of every other 64 columns digits change places two and two.</summary>
    public int X;

    /// <summary>Start of the digits of the sums of 32 columns <c>[256 columns, digit, 32 columns]</c>, a byte each.</summary>
    public int Sums;

    /// <summary>Start of what digits are multiples of <c>[256 columns]</c>, as floats.</summary>
    public int Scales;

    /// <summary>Start of the warps' sums of squares, see <see cref="InputParts"/>: eight bytes each.</summary>
    public int Squares;

    /// <summary>Start of the products <c>[eight rows, warp, row]</c>, as floats, <see cref="ProductStride"/> from one eight to the next.</summary>
    public int Products;

    /// <summary>Start of the device addresses of the group's weight rows, or of the barrier words of the warps' rings (<see cref="MapCopies"/>), eight bytes each.</summary>
    public int Rows;

    /// <summary>Start of the epilogue's terms (<see cref="EpilogueTerms"/>), if it has any.</summary>
    public int Terms;

    /// <summary>All of it.</summary>
    public int Total;

    /// <summary>The layout for <paramref name="octs"/> times eight columns, a group of <paramref name="eights"/> times eight rows, and rings of <paramref name="depth"/> stages of <paramref name="units"/> a row.</summary>
    public static DigitMemory Of(int depth, int units, int warps, int octs, int eights)
    {
        int blocks = Blocks(octs);
        DigitMemory m;
        m.X = warps * (depth * 8 * units);
        m.Sums = m.X + 64 * blocks;
        m.Scales = m.Sums + 2 * blocks;
        m.Squares = m.Scales + (blocks + 3 >> 2);
        m.Products = m.Squares + InputParts.SquareUnits;
        // with room for what each warp writes before it has any product
        m.Rows = m.Products + eights * (ProductStride(warps) >> 2) + (RowRing.MaxWarps + 4 >> 2);
        m.Terms = m.Rows + IntrinsicMath.Max(eights * 4, warps * depth + 1 >> 1);
        m.Total = m.Terms + eights * 4 * EpilogueTerms.Units;
        return m;
    }

    /// <summary>Floats from the products of eight rows to those of the next: those of eight times four rows, which are added up at once, lie in banks of their own.</summary>
    public static int ProductStride(int warps) => 8 * warps + 4;

    /// <summary>Times 256 columns that there is room for: an even number.</summary>
    public static int Blocks(int octs) => (octs + 63 >> 6) * 2;
}
