using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp reads a weight row for a single activation row: lane l takes piece l, l + 32, l + 64 .. of 16 bytes straight into registers, and multiplies the numbers in it with activations in
/// shared memory, which lie in the order of the pieces.
/// </summary>
internal interface IRowCodec
{
    /// <summary>Pieces of a row that a lane has under way.</summary>
    static abstract int Depth { get; }

    /// <summary>Activations a piece / 4.</summary>
    static abstract int Quads { get; }

    /// <summary>Whether a piece needs something of its row beside its own 16 bytes.</summary>
    static abstract bool Scaled { get; }

    /// <summary>Pieces of a row.</summary>
    static abstract int Pieces(LinearArgs args);

    /// <summary>The 16 bytes of a piece of the row at a device address; zeros where <paramref name="wanted"/> is 0.</summary>
    static abstract U4 Codes(long row, int piece, int wanted, ulong policy);

    /// <summary>Its scales, raw (<see cref="Scaled"/>); zeros where <paramref name="wanted"/> is 0.</summary>
    static abstract U4 Scales(long row, int piece, int wanted, ulong policy);

    /// <summary>Puts the activations of columns 4 · <paramref name="quad"/> to 4 · quad + 3 where pieces expect them; zeros from <paramref name="quads"/> on.</summary>
    static abstract void Place(ArrayView<U4> memory, int quad, int quads, F4 value);

    /// <summary>Adds the products of a piece of two rows with the activations.</summary>
    static abstract RowSums Add(ArrayView<U4> memory, int piece, U4 upper, U4 upperScales, U4 lower, U4 lowerScales, RowSums sums);
}
