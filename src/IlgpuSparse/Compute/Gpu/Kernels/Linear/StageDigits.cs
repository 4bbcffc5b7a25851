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

    /// <summary>The digits of the stage whose activations begin at <paramref name="x"/>, their sums at <paramref name="totals"/>, in units of eight bytes, and their scales at <paramref name="scales"/>, in units of four.</summary>
    public static StageDigits Load(ArrayView<U4> memory, int x, int totals, int scales, int lane)
    {
        int g = lane >> 2, t = lane & 3;
        int even = x + (g >> 2) * 64 + ((g & 3) * 4 + t), odd = x + (g >> 2) * 64 + ((g & 3) * 4 + t ^ 4);
        StageDigits digits;
        digits.First = LinearOps.Load(ref memory[even], 0);
        digits.Second = LinearOps.Load(ref memory[odd], 256);
        digits.Third = LinearOps.Load(ref memory[even], 512);
        digits.Fourth = LinearOps.Load(ref memory[odd], 768);
        // minima of a half in the columns of its own lane 0 or 2 alone; what the others have there meets zeros
        var total = LinearOps.Load(ref memory.Cast<U2>()[totals + g], 0);
        uint wanted = (uint)((t ^ g >> 1 & 2) - 1 >> 31);
        digits.Totals.X = total.X & wanted;
        digits.Totals.Y = total.Y & wanted;
        digits.Scale = memory.Cast<float>()[scales + (t >> 1)];
        return digits;
    }
}
