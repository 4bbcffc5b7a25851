using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Single precision.</summary>
internal readonly unsafe struct F32Element : IKvElement
{
    public static int Bytes => 4;

    public static float Unit => 1f;

    public static bool Interleaved => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.Load((float*)source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.Load((float*)source + TLanes.Count);
}
