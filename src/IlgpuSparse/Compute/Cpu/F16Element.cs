using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Half precision.</summary>
internal readonly unsafe struct F16Element : IKvElement
{
    public static int Bytes => 2;

    public static float Unit => 65536f;

    public static bool Interleaved => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.EvenHalves(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Second<TLanes, TVector>(byte* source)
        where TLanes : struct, IVectorLanes<TVector>
        where TVector : struct => TLanes.OddHalves(source);
}
