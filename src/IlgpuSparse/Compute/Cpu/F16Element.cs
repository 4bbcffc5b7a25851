using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Half precision, times 2^-16. A 32-bit lane holds an even element below an odd one. Exact for every finite half, subnormal ones included, without ever handing a subnormal single to
/// the floating-point unit, which costs over a hundred cycles on many processors. Infinities and NaN come out as 65536 and more.
/// </summary>
internal readonly unsafe struct F16Element : IKvElement
{
    public static int Bytes => 2;

    public static float Unit => 65536f;

    public static bool Interleaved => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source) where V : struct, ISimd<V>
    {
        V pair = V.Load((float*)source);
        return Decode(V.ShiftLeft(pair, 13), V.ShiftLeft(pair, 16));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source) where V : struct, ISimd<V>
    {
        V pair = V.Load((float*)source);
        return Decode(V.ShiftRight(pair, 3), pair);
    }

    // The exponent e of the half goes in as e + 96, so a normal half has its value times 2^-16. With e = 0 the result has an implicit one too many and half the step:
    // 2^-31 (1 + m/1024) where 2^-30 m/1024 is meant, which is 2x - 2^-30; for every normal half that is no smaller than x, so the minimum is right for both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Decode<V>(V magnitude, V sign) where V : struct, ISimd<V>
    {
        V x = V.Or(V.And(magnitude, 0x0fffe000), V.Create(4.656612873077393e-10f)); // bits 0x30000000
        V subnormal = V.MultiplyAdd(x, V.Create(2f), V.Create(-9.313225746154785e-10f));
        return V.Or(V.And(sign, unchecked((int)0x80000000)), V.Min(x, subnormal));
    }
}
