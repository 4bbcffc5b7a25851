using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Half precision by shifts and masks alone, times 2^-112, in five instructions for two vectors where <see cref="F16Element"/> takes eleven. A 32-bit lane holds an even element below an odd one. Exact for
/// every finite half; infinities and NaN come out as 65536 and more. Subnormal halves become subnormal singles: only for processors that multiply those as fast as others, see <see cref="Subnormals"/>.
/// </summary>
internal readonly unsafe struct ShiftedF16Element : IKvElement
{
    public static int Bytes => 2;

    // 2^64: products of the least half (2^-24) and any query above 2^-54 are normal, and no query is taken to infinity
    public static float Unit => 18446744073709551616f;

    // 2^48
    public static float Remainder => 281474976710656f;

    public static bool Interleaved => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static KvConstants<V> Constants<V>() where V : struct, ISimd<V>
    {
        // by way of memory, so that it is no literal any more
        int* bits = stackalloc int[] { unchecked((int)0x8fffe000) };
        return new() { Mask = V.Create(*(float*)bits) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => Decode(V.ShiftLeft(V.Load((float*)source), 16), constants);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => Decode(V.Load((float*)source), constants);

    // The half lies in the upper bits. Three to the right its exponent and mantissa are where a single has them, and the copies of the sign between are cleared.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Decode<V>(V half, in KvConstants<V> constants) where V : struct, ISimd<V> => V.And(V.ShiftRightArithmetic(half, 3), constants.Mask);
}
