using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp multiplies a stage of eight weight rows in shared memory, as stored, with the digits of a single row of activations (<see cref="DigitInput"/>). Rows g of one operand of the integer matrix instructions are
/// weight rows over the first half of the stage's columns, rows g + 8 the same weight rows over the second half; columns 0 to 3 of the other are the four digits of the first half's activations, 4 to 7 those of the
/// second half's. So what counts of the result lies in X and Y of lanes 0 and 1 of four, and in Z and W of lanes 2 and 3.
/// </summary>
internal interface IDigitCodec
{
    /// <summary>16-byte units of a row's stage.</summary>
    static abstract int Units { get; }

    /// <summary>Units from row to row in the ring: eight bytes a lane are then read without two lanes wanting the same bank.</summary>
    static abstract int Stride { get; }

    /// <summary>Columns of a row's stage / 8; a multiple of 32 lanes.</summary>
    static abstract int Octs { get; }

    /// <summary>The largest activation becomes an integer of 2^Bits to 2^(Bits + 1), which no sum of products may make overflow.</summary>
    static abstract int Bits { get; }

    /// <summary>How many bits higher the activations of every first block of 32 of two are, whose codes are so much lower in their bytes.</summary>
    static abstract int Shift { get; }

    /// <summary>Whether blocks of 32 columns subtract a multiple of the sum of their activations.</summary>
    static abstract bool HasOffsets { get; }

    /// <summary>
    /// Adds the lane's part of a stage's products to <paramref name="sum"/>, in units of the lower of its two digits. <paramref name="at"/> is where the stage's part of the ring begins, <paramref name="x"/> where its
    /// activations do, <paramref name="totals"/> where their sums do, in units of eight bytes, and <paramref name="scales"/> where their scales do, in units of four.
    /// </summary>
    static abstract float Multiply(ArrayView<U4> memory, int at, int x, int totals, int scales, int lane, float sum);
}
