using ILGPU;
using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>
/// Takes missing rows of a step into the hot rows: in each bucket that was claimed, in place of the row that was not read for longest, unless every one was read in this very step. One row a bucket and step: a set larger than all
/// hot rows would otherwise push out everything before it comes again.
/// </summary>
internal static class KeepKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Grid (any number of groups, kv heads); each group has several buckets one after the other.</summary>
    public static void Run(ArrayView<int> tokens, ArrayView<int> blocks, HotView hot, FetchArgs args)
    {
        var chosen = SharedMemory.Allocate<int>(1);
        int kvHead = Grid.IdxY, now = hot.Clocks[args.Clock];
        for (int b = Grid.IdxX; b < args.Buckets; b += Grid.DimX)
        {
            int bucket = kvHead * args.Buckets + b, claim = hot.Claims[bucket];
            Group.Barrier();
            int row = claim / (args.Sets * args.Capacity), list = claim / args.Capacity, entry = claim - list * args.Capacity, set = list - row * args.Sets;
            if (Group.IdxX == 0)
            {
                int victim = -1;
                if (claim != int.MaxValue)
                {
                    var stamps = hot.Stamps.Cast<U4>()[bucket];
                    int oldest = now;
                    if ((int)stamps.X < oldest) victim = 0;
                    oldest = IntrinsicMath.Min(oldest, (int)stamps.X);
                    if ((int)stamps.Y < oldest) victim = 1;
                    oldest = IntrinsicMath.Min(oldest, (int)stamps.Y);
                    if ((int)stamps.Z < oldest) victim = 2;
                    oldest = IntrinsicMath.Min(oldest, (int)stamps.Z);
                    if ((int)stamps.W < oldest) victim = 3;
                    hot.Claims[bucket] = int.MaxValue;
                    if (victim >= 0)
                    {
                        int token = tokens[(long)list * args.Capacity + entry];
                        hot.Tags[bucket * HotRows.Ways + victim] = (blocks[row * args.MaxBlocks + (token >> KvLayer.BlockShift)] << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1));
                        hot.Stamps[bucket * HotRows.Ways + victim] = now;
                    }
                }
                chosen[0] = victim;
            }
            Group.Barrier();
            if (chosen[0] >= 0)
            {
                long from = FetchKernel.FetchedRow(args, row, kvHead, set - kvHead * args.SetsPerKvHead, entry), to = (long)bucket * HotRows.Ways + chosen[0];
                long rowBytes = (long)args.Units * RowOps.UnitBytes;
                for (int unit = Group.IdxX; unit < args.Units; unit += Group.DimX)
                {
                    long offset = (long)unit * RowOps.UnitBytes;
                    RowOps.Store(args.HotK + to * rowBytes + offset, RowOps.Load(args.FetchedK + from * rowBytes + offset));
                    RowOps.Store(args.HotV + to * rowBytes + offset, RowOps.Load(args.FetchedV + from * rowBytes + offset));
                }
            }
        }
    }
}
