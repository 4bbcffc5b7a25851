using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A lane's digits of the activations of a stage (<see cref="DigitInput"/>), as operands of matrix instructions.</summary>
internal struct StageDigits
{
    /// <summary>Of 64 columns each: of the first 32 in X and Y, of the others in Z and W.</summary>
    public U4 First, Second, Third, Fourth;

    /// <summary>Of the sums of the stage's blocks, which minima are multiplied by.</summary>
    public U2 Totals;

    /// <summary>What digits of the lane's half of the columns are multiples of.</summary>
    public float Scale;

    /// <summary>All of a stage, whose activations begin at <paramref name="x"/>, their sums at <paramref name="totals"/>, in units of eight bytes, and their scales at <paramref name="scales"/>, in units of four.</summary>
    public static StageDigits Load(ArrayView<U4> memory, int x, int totals, int scales, int lane) => new()
    {
        First = LoadColumns(memory, x, 0, lane),
        Second = LoadColumns(memory, x, 1, lane),
        Third = LoadColumns(memory, x, 2, lane),
        Fourth = LoadColumns(memory, x, 3, lane),
        Totals = LoadTotals(memory, totals, lane),
        Scale = LoadScale(memory, scales, lane),
    };

    /// <summary>The digits of 64 columns from number 64 · <paramref name="j"/> on.</summary>
    public static U4 LoadColumns(ArrayView<U4> memory, int x, int j, int lane)
    {
        int g = lane >> 2, own = (g & 3) * 4 + (lane & 3);
        return LinearOps.Load(ref memory[x + (g >> 2) * 64 + (own ^ (j & 1) * 4)], 256 * j);
    }

    /// <summary>Those of the sums: of a half in the columns of its own lane 0 or 2 alone, what the others have there meets zeros.</summary>
    public static U2 LoadTotals(ArrayView<U4> memory, int totals, int lane)
    {
        int g = lane >> 2;
        var total = LinearOps.Load(ref memory.Cast<U2>()[totals + g], 0);
        uint wanted = (uint)((lane & 3 ^ g >> 1 & 2) - 1 >> 31);
        total.X &= wanted;
        total.Y &= wanted;
        return total;
    }

    /// <summary>The scale of the lane's half.</summary>
    public static float LoadScale(ArrayView<U4> memory, int scales, int lane) => memory.Cast<float>()[scales + ((lane & 3) >> 1)];
}
