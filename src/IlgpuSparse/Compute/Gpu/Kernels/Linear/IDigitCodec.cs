using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// How a warp multiplies a stage of eight weight rows in shared memory, as stored, with the digits of a single row of activations (<see cref="DigitInput{TCodec}"/>). Rows g of one operand of the integer matrix
/// instructions are weight rows over the first half of the stage's columns, rows g + 8 the same weight rows over the second half; columns 0 to 3 of the other are the four digits of the first half's
/// activations, 4 to 7 those of the second half's. So what counts of the result lies in X and Y of lanes 0 and 1 of four, and in Z and W of lanes 2 and 3.
/// </summary>
internal interface IDigitCodec
{
    /// <summary>16-byte units that are copied of a row for a stage of 512 columns (<see cref="RowDigitKernel.StageOcts"/>).</summary>
    static abstract int Units { get; }

    /// <summary>The largest activation of 256 becomes an integer of 2^Bits to 2^(Bits + 1), of which the digits are.</summary>
    static abstract int Bits { get; }

    /// <summary>How many bits higher the activations of every first block of 32 of two are.</summary>
    static abstract int Shift { get; }

    /// <summary>Whether blocks have minima, which meet the digits of the sums of their activations.</summary>
    static abstract bool HasMinima { get; }

    /// <summary>Columns, 16 or 32, of which in every first block of 32 of two the first two come last; 0 where all are in their order.</summary>
    static abstract int Turn { get; }

    /// <summary>Whether a lane has four columns of each 16, as codes of four or six bits lie, and not eight of each 32.</summary>
    static abstract bool InFours { get; }

    /// <summary>Word of a row where what is copied for a stage begins, a multiple of four: the copy engine knows no others.</summary>
    static abstract int Start(int stage);

    /// <summary>
    /// Adds the lane's part of the products of stage <paramref name="stage"/> of a row to <paramref name="sum"/>, in units of the lower of its two digits. <paramref name="at"/> is where what is copied of it begins in the ring; the activations' digits are
    /// <paramref name="held"/>, or are loaded when it is their turn (all before, they take longer) from <paramref name="x"/> on, their sums from <paramref name="totals"/> and their scales from <paramref name="scales"/> on, as <see cref="StageDigits.Load{TCodec}"/> does.
    /// </summary>
    static abstract float Multiply<TDigits>(ArrayView<U4> memory, int at, int stage, StageDigits held, int x, int totals, int scales, int lane, float sum)
        where TDigits : struct, IStageDigits;
}
