namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Bits of a label code, as constants of a kernel.</summary>
internal interface ILabelBits
{
    /// <summary>Bits a code; 16 for half-precision labels, which have no code.</summary>
    static abstract int Bits { get; }

    /// <summary>Codes in 16 bits: half of a word's.</summary>
    static abstract int Pairs { get; }

    /// <summary>log2 of the codes in a byte; 0 for half-precision labels.</summary>
    static abstract int ByteShift { get; }
}
