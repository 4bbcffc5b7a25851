using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A lane's digits of the activations of a stage (<see cref="DigitInput{TCodec}"/>), as operands of matrix instructions.</summary>
internal struct StageDigits
{
    /// <summary>Of 64 columns each: of the first 32 in X and Y, of the others in Z and W.</summary>
    public U4 First, Second, Third, Fourth;

    /// <summary>Of the sums of the stage's blocks, which minima are multiplied by.</summary>
    public U2 Totals;

    /// <summary>What digits of the lane's half of the columns are multiples of.</summary>
    public float Scale;

    /// <summary>All of a stage, whose activations begin at <paramref name="x"/>, their sums at <paramref name="totals"/>, in units of eight bytes, and their scales at <paramref name="scales"/>, in units of four.</summary>
    public static StageDigits Load<TCodec>(ArrayView<U4> memory, int x, int totals, int scales, int lane)
        where TCodec : struct, IDigitCodec
    {
        int even = Even(x, lane), odd = Odd(x, lane);
        StageDigits digits = default;
        digits.First = LinearOps.Load(ref memory[even], 0);
        digits.Second = LinearOps.Load(ref memory[odd], 256);
        digits.Third = LinearOps.Load(ref memory[even], 512);
        digits.Fourth = LinearOps.Load(ref memory[odd], 768);
        if (TCodec.HasMinima) digits.Totals = LoadTotals(memory, totals, lane);
        digits.Scale = memory.Cast<float>()[scales + ((lane & 3) >> 1)];
        return digits;
    }

    /// <summary>Those of the <paramref name="j"/>th 64 columns: <paramref name="held"/>, or loaded from where <see cref="Even"/> and <see cref="Odd"/> say.</summary>
    public static U4 Columns<TDigits>(ArrayView<U4> memory, StageDigits held, int j, int even, int odd)
        where TDigits : struct, IStageDigits
    {
        var digits = j == 0 ? held.First : j == 1 ? held.Second : j == 2 ? held.Third : held.Fourth;
        if (!TDigits.AreHeld) digits = LinearOps.Load(ref memory[(j & 1) == 0 ? even : odd], 256 * j);
        return digits;
    }

    /// <summary>What they are multiples of: <paramref name="held"/>'s, or loaded.</summary>
    public static float Unit<TDigits>(ArrayView<U4> memory, StageDigits held, int scales, int half)
        where TDigits : struct, IStageDigits
    {
        float unit = held.Scale;
        if (!TDigits.AreHeld) unit = memory.Cast<float>()[scales + half];
        return unit;
    }

    /// <summary>Where the lane's digits of the first 64 columns of a stage lie, whose activations begin at <paramref name="x"/>; those of the third are 512 bytes behind.</summary>
    public static int Even(int x, int lane) => x + (lane >> 4) * 64 + ((lane >> 2 & 3) * 4 + (lane & 3));

    /// <summary>The same of the second and fourth 64 columns, 256 and 768 bytes behind.</summary>
    public static int Odd(int x, int lane) => x + (lane >> 4) * 64 + ((lane >> 2 & 3) * 4 + (lane & 3) ^ 4);

    /// <summary>Digits of the sums of blocks: of a half in the columns of its own lane 0 or 2 alone, what the others have there meets zeros.</summary>
    public static U2 LoadTotals(ArrayView<U4> memory, int totals, int lane)
    {
        int g = lane >> 2;
        var total = LinearOps.Load(ref memory.Cast<U2>()[totals + g], 0);
        uint wanted = (uint)((lane & 3 ^ g >> 1 & 2) - 1 >> 31);
        total.X &= wanted;
        total.Y &= wanted;
        return total;
    }
}
