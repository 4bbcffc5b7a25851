using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>
/// The two halves of each 32-bit lane as floats, times 2^-16: exact for every finite half, and no subnormal float reaches the floating-point unit, which costs over a hundred cycles on
/// many processors. Infinities and NaN come out as finite numbers.
/// </summary>
internal static class HalfLanes
{
    /// <summary>What the results must be multiplied by.</summary>
    public const float Unit = 65536f;

    /// <summary>The half in the low bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Low<V>(V pair) where V : struct, ISimd<V> => Decode(V.ShiftLeft(pair, 13), V.ShiftLeft(pair, 16));

    /// <summary>The half in the high bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V High<V>(V pair) where V : struct, ISimd<V> => Decode(V.ShiftRight(pair, 3), pair);

    // The half's exponent field e becomes e + 96, which makes a normal half its value times 2^-16. For e = 0 that is 2^-31·(1 + m/1024) where 2^-30·m/1024 is meant: 2x − 2^-30, which is
    // the smaller of the two exactly when e = 0.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Decode<V>(V magnitude, V sign) where V : struct, ISimd<V>
    {
        V x = V.Or(V.And(magnitude, 0x0fffe000), V.Create(4.656612873077393e-10f)); // 2^-31: exponent field 96
        V subnormal = V.MultiplyAdd(x, V.Create(2f), V.Create(-9.313225746154785e-10f));
        return V.Or(V.And(sign, int.MinValue), V.Min(x, subnormal));
    }
}
