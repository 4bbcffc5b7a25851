namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Bits of a label code, as constants of a kernel.</summary>
internal interface ILabelBits
{
    /// <summary>Bits a code; 16 for half-precision labels, which have no code.</summary>
    static abstract int Bits { get; }

    /// <summary>Codes in 16 bits, and so registers of two halves that a word spreads into; a power of two.</summary>
    static abstract int Pairs { get; }

    /// <summary>log2 of <see cref="Pairs"/>.</summary>
    static abstract int PairShift { get; }

    /// <summary>Codes that lie whole in the ten mantissa bits of a half.</summary>
    static abstract int InMantissa { get; }
}
