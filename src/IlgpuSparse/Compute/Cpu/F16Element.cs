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
    public static KvConstants<V> Constants<V>() where V : struct, ISimd<V>
    {
        // by way of memory, so that they are no literals any more
        int* bits = stackalloc int[] { 0x0fffe000, 0x30000000, 0x40000000, unchecked((int)0xb0800000), unchecked((int)0x80000000) };
        float* numbers = (float*)bits;
        return new()
        {
            Mask = V.Create(numbers[0]),
            Base = V.Create(numbers[1]), // 2^-31
            Two = V.Create(numbers[2]),
            Offset = V.Create(numbers[3]), // -2^-30
            Sign = V.Create(numbers[4]),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V>
    {
        V pair = V.Load((float*)source);
        return Decode(V.ShiftLeft(pair, 13), V.ShiftLeft(pair, 16), constants);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V>
    {
        V pair = V.Load((float*)source);
        return Decode(V.ShiftRight(pair, 3), pair, constants);
    }

    // The exponent e of the half goes in as e + 96, so a normal half has its value times 2^-16. With e = 0 the result has an implicit one too many and half the step:
    // 2^-31 (1 + m/1024) where 2^-30 m/1024 is meant, which is 2x - 2^-30; for every normal half that is no smaller than x, so the minimum is right for both.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Decode<V>(V magnitude, V sign, in KvConstants<V> constants) where V : struct, ISimd<V>
    {
        V x = V.Merge(magnitude, constants.Mask, constants.Base);
        V subnormal = V.MultiplyAdd(x, constants.Two, constants.Offset);
        return V.Merge(sign, constants.Sign, V.Min(x, subnormal));
    }
}
