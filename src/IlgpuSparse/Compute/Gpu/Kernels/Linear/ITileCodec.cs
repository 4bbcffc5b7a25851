using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp reads a stage of a weight row in shared memory, as stored. A stage is cut into runs of 32 numbers; lanes t = 0 to 3 of a row hold of each run the numbers 4t to 4t + 3 and
/// 16 + 4t to 16 + 4t + 3: the operands of two matrix instructions, exact in 16 bits. Scales are applied to the products.
/// </summary>
internal interface ITileCodec
{
    /// <summary>Runs a stage.</summary>
    static abstract int Runs { get; }

    /// <summary>Bytes of a row's stage / 2.</summary>
    static abstract int Units { get; }

    /// <summary>16-byte units to copy for a row's stage, wherever it begins in the first.</summary>
    static abstract int Chunks { get; }

    /// <summary>16-byte units from one row to the next in shared memory: eight rows then lie in different banks.</summary>
    static abstract int Slot { get; }

    /// <summary>Stages that a warp has in flight.</summary>
    static abstract int Stages { get; }

    /// <summary>Whether rows and stages are whole 16-byte units.</summary>
    static abstract bool Aligned { get; }

    /// <summary>16-bit numbers that one activation is split into: two halves of a scaled one, or three bfloat16.</summary>
    static abstract int Limbs { get; }

    /// <summary>Whether products are scaled by run.</summary>
    static abstract bool Scaled { get; }

    /// <summary>Whether the halves of a run have scales of their own.</summary>
    static abstract bool HalfRunScales { get; }

    /// <summary>Whether a run adds a multiple of the sum of its activations.</summary>
    static abstract bool HasOffsets { get; }

    /// <summary>Whether the numbers of four are paired 0 with 2 and 1 with 3, as nibbles of a word are, instead of 0 with 1 and 2 with 3.</summary>
    static abstract bool Crossed { get; }

    /// <summary>The numbers of lane <paramref name="t"/> in a run, two to a word. <paramref name="at"/> is where the row's stage begins, in units of two bytes.</summary>
    static abstract U4 Numbers(ArrayView<U4> ring, int at, int run, int t);

    /// <summary>
    /// Of runs t and t + 4: the scale, and what to multiply the sum of activations by (<see cref="HasOffsets"/>). With <see cref="HalfRunScales"/> the scales of half runs t, t + 4, t + 8, t + 12.
    /// </summary>
    static abstract F4 Scales(ArrayView<U4> ring, int at, int t);
}
