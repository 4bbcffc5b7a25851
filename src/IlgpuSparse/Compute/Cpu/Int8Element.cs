using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Signed bytes; their rows' scales are multiplied into logits and weights.</summary>
internal readonly unsafe struct Int8Element : IKvElement
{
    public static int Bytes => 1;

    public static float Unit => 1f;

    public static bool Interleaved => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static KvConstants<V> Constants<V>() where V : struct, ISimd<V> => default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.LoadSBytes(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V> => V.LoadSBytes(source + V.Count);
}
