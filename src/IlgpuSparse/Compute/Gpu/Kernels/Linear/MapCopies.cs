using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Stages of <see cref="RowDigitKernel"/> by the copy engine, a request each (<see cref="TensorCopy"/>), which a lane makes in a third of the instructions that <see cref="LaneCopies"/> are for all; they stand in nobody's way to shared memory.
/// Each slot of a warp's ring has a barrier word.
/// </summary>
internal readonly struct MapCopies : IStageCopies
{
    public static bool ByMaps => true;

    /// <summary>Makes the barrier words of a warp's ring, from number <paramref name="words"/> on.</summary>
    public static void Make(ArrayView<U4> memory, int words, int depth, LinearArgs args, int lane)
    {
        if (lane < depth) BulkCopy.Make(ref memory.Cast<ulong>()[words + lane]);
        if (Group.IdxX == 0) TensorCopy.Ahead(args.Maps);
        TensorOps.WarpSync();
    }

    /// <summary>Asks for stage <paramref name="stage"/> of one of all eights, by one lane.</summary>
    public static void Ask<TCodec, TEpilogue>(ArrayView<U4> memory, int at, int word, int eight, int stage, LinearArgs args, int lane, ulong policy)
        where TCodec : struct, IDigitCodec
        where TEpilogue : struct, ILinearEpilogue
    {
        if (lane == 0)
        {
            long map = args.Maps;
            int shift = args.MapShift;
            if (TEpilogue.HasThreeMaps)
            {
                if (eight >= args.SecondEight)
                {
                    map += StageMap.Size;
                    int first = args.SecondEight;
                    if (eight >= args.ThirdEight)
                    {
                        map += StageMap.Size;
                        first = args.ThirdEight;
                        shift = args.ThirdMapShift;
                    }
                    eight -= first;
                }
            }
            int block = eight >> shift;
            TensorCopy.Start(ref memory[at], map, TCodec.Start(stage), eight - (block << shift), block, ref memory.Cast<ulong>()[word], TCodec.Units * 128, policy);
        }
    }

    /// <summary>Waits until what was asked for at a slot is there.</summary>
    public static void Await(ArrayView<U4> memory, int word, int parity)
    {
        ref ulong barrier = ref memory.Cast<ulong>()[word];
        while (TensorCopy.IsDone(ref barrier, parity) == 0) { }
    }
}
