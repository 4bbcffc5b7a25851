using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Single precision.</summary>
internal readonly unsafe struct F32Element : IKvElement
{
    public static int Bytes => 4;

    public static float Unit => 1f;

    public static bool Interleaved => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static KvConstants<V> Constants<V>() where V : struct, ISimd<V> => default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.Load((float*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.Load((float*)source + V.Count);
}
