using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>bfloat16.</summary>
internal readonly unsafe struct BF16Element : IKvElement
{
    public static int Bytes => 2;

    public static float Unit => 1f;

    public static bool Interleaved => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.EvenBFloats(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.OddBFloats(source);
}
