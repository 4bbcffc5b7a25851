using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Stages of <see cref="RowDigitKernel"/> in Q4_K by <c>cp.async</c>, 16 bytes a lane at a time: on devices without <see cref="TensorCopy"/>, and for weights that no <see cref="StageLayout"/> describes.</summary>
internal readonly struct LaneCopies : IStageCopies
{
    private const int Units = Q4_KDigits.RowUnits;

    /// <summary>Copies of a lane for a stage.</summary>
    public const int Count = 8 * Units + 31 >> 5;

    public static bool ByMaps => false;

    /// <summary>Which of eight rows the lane's copies are of, and which bytes of its stage.</summary>
    public static void Place(int[] rows, int[] bytes, int lane)
    {
        for (int i = 0; i < Count; i++)
        {
            // by 18, exactly for the units that there are
            rows[i] = (32 * i + lane) * 57 >> 10;
            bytes[i] = (32 * i + lane - rows[i] * Units) * 16;
        }
    }

    /// <summary>Starts the copies of the cursor's stage, whose rows' addresses begin at number <paramref name="first"/> of <paramref name="rows"/>: lanes side by side copy units side by side, which is half as many requests as a lane for a row (and 2 % less time for a step of the 7B shape).</summary>
    public static void Ask(ArrayView<U4> memory, int at, ArrayView<long> rows, int first, DigitCursor cursor, LinearArgs args, int[] copyRows, int[] copyBytes, int lane, ulong policy)
    {
        int from = cursor.Stage * (Units * 16);
        if (cursor.Stage < Last(args))
        {
            for (int i = 0; i < Count; i++)
            {
                if (32 * i + 31 < 8 * Units || 32 * i + lane < 8 * Units) LinearOps.CopyOnce(ref memory[at + lane], 512 * i, rows[first + copyRows[i]] + (from + copyBytes[i]), policy);
            }
        }
        else
        {
            // what the row does not have is zeros
            int has = args.RowUnits * 2 - from;
            for (int i = 0; i < Count; i++)
            {
                if (32 * i + 31 < 8 * Units || 32 * i + lane < 8 * Units) LinearOps.CopyOnce(ref memory[at + lane], 512 * i, rows[first + copyRows[i]] + (from + copyBytes[i]), 16 & (copyBytes[i] - has >> 31), policy);
            }
        }
    }

    /// <summary>The same before that table is there, with the address of one row: each lane copies every fourth unit of it.</summary>
    public static void AskByRow(ArrayView<U4> memory, int at, long row, DigitCursor cursor, LinearArgs args, int lane, ulong policy)
    {
        int target = at + (lane >> 2) * Units + (lane & 3);
        long source = row + (cursor.Stage * Units + (lane & 3)) * 16;
        if (cursor.Stage < Last(args))
        {
            for (int i = 0; i < Units + 3 >> 2; i++)
            {
                if (4 * i + 3 < Units || 4 * i + (lane & 3) < Units) LinearOps.CopyOnce(ref memory[target], 64 * i, source + 64L * i, policy);
            }
        }
        else
        {
            // what the row does not have is zeros
            int has = (args.RowUnits >> 3) - cursor.Stage * Units;
            for (int i = 0; i < Units + 3 >> 2; i++)
            {
                if (4 * i + 3 < Units || 4 * i + (lane & 3) < Units) LinearOps.CopyOnce(ref memory[target], 64 * i, source + 64L * i, 16 & (4 * i + (lane & 3) - has >> 31), policy);
            }
        }
    }

    // The stage that a row may not fill.
    private static int Last(LinearArgs args) => (args.RowUnits >> 3) / Units;
}
