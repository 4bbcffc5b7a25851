using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Rotary position embedding in place: one group a row and head, one thread a channel pair.</summary>
/// <remarks>
/// A float's product position · frequency is off by 0.004 rad at 64K tokens and by more further on. Here the angle is counted in 2^-64 turns: the frequency's mantissa times the digits
/// of 1/2π, then times the position, modulo whole turns, all in integers, and only the remainder becomes a float.
/// </remarks>
internal static class RopeKernel
{
    public const int GroupSize = 128;

    private const ulong TurnHigh = 0x28be60db, TurnLow = 0x9391054a; // 2^64 / 2π

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (rows, heads).</summary>
    /// <param name="x"><c>[row, head, 2 · pairs]</c>.</param>
    /// <param name="frequencies">Radians a position.</param>
    /// <param name="positions">A row's position.</param>
    /// <param name="pairs">Half of the head's channels.</param>
    /// <param name="interleaved">1 to pair channels 2i and 2i + 1, 0 to pair i and i + <paramref name="pairs"/>.</param>
    public static void Run(ArrayView<float> x, ArrayView<float> frequencies, ArrayView<int> positions, int pairs, int interleaved)
    {
        long head = ((long)Grid.IdxX * Grid.DimY + Grid.IdxY) * pairs * 2;
        int position = positions[Grid.IdxX];
        for (int i = Group.IdxX; i < pairs; i += Group.DimX)
        {
            float angle = Angle(frequencies[i], position);
            float cos = XMath.Cos(angle), sin = XMath.Sin(angle);
            long first = head + (interleaved != 0 ? 2 * i : i);
            long second = first + (interleaved != 0 ? 1 : pairs);
            float a = x[first], b = x[second];
            x[first] = a * cos - b * sin;
            x[second] = b * cos + a * sin;
        }
    }

    /// <summary>The angle of a position, in [-π, π).</summary>
    public static float Angle(float frequency, int position)
    {
        uint bits = Interop.FloatAsInt(frequency);
        ulong mantissa = (bits & 0x7fffff) | 0x800000;
        int shift = 150 - (int)(bits >> 23); // frequency = mantissa / 2^shift
        ulong product = mantissa * TurnHigh + ((mantissa * TurnLow) >> 32); // mantissa · 2^32 / 2π
        ulong step = shift < 32 ? product << (32 - shift) : product >> Math.Min(shift - 32, 63);
        // Whole turns have dropped out; the sign makes it the nearest half turn. (A cast by way of uint would be compiled as an unsigned conversion below.)
        int turns = (int)((long)(step * (ulong)position) >> 32);
        return turns * 1.4629180792671596e-9f; // 2π / 2^32
    }
}
