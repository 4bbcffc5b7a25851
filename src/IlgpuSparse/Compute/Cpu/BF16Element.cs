using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>bfloat16: the upper half of a single. A 32-bit lane holds an even element below an odd one.</summary>
internal readonly unsafe struct BF16Element : IKvElement
{
    public static int Bytes => 2;

    public static float Unit => 1f;

    public static bool Interleaved => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static KvConstants<V> Constants<V>() where V : struct, ISimd<V> => default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.ShiftLeft(V.Load((float*)source), 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.And(V.Load((float*)source), unchecked((int)0xffff0000));
}
