using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for one activation row and weights in bfloat16 at the speed of memory (CUDA): a warp takes two weight rows at a time, the ones whose products end in the same thread, and streams them through registers with
/// several loads of 16 bytes a lane under way. Nothing depends on the activations until they have come: the first weights are asked for before them. Warps never wait for one another after that.
/// </summary>
internal static class LinearRowKernel
{
    /// <summary>Most warps a group, one of which a multiprocessor has at a time.</summary>
    public const int MaxWarps = 16;

    /// <summary>16-byte units of shared memory beside the activations: the warps' sums of squares.</summary>
    private const int SquareUnits = MaxWarps / 4;

    /// <summary>The variant for what becomes of the products.</summary>
    public static KernelVariant Variant(Type epilogue) => KernelVariant.Of(typeof(LinearRowKernel), nameof(Run), MaxWarps * 32, epilogue) with
    {
        CudaOnly = true,
        MinGroups = 1,
        DynamicSharedBytes = TensorDecodeKernel.HopperSharedBytes,
    };

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants => LinearKernel.AllEpilogues.Select(Variant);

    /// <summary>Bytes of shared memory for rows of <paramref name="steps"/> steps.</summary>
    public static int SharedBytes(int steps) => 16 * (BF16Row.Quads * 32 * steps + SquareUnits);

    /// <summary>Grid of any number of groups; a multiple of 32 threads each. <see cref="LinearArgs.RowStages"/> are the steps of a row.</summary>
    public static void Run<TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TEpilogue : struct, ILinearEpilogue
    {
        if (args.StartsNext != 0) DependentLaunch.LetNextStart();
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        ulong policy = Loads.EvictFirst();
        // neighbouring pairs on different multiprocessors, so that each has the same share
        int pairs = args.Tiles * 8, stride = Grid.DimX * warps;
        var next = Locate(new RowCursor { Pair = warp * Grid.DimX + Grid.IdxX }, args, epilogue, pairs);
        var upper = new U4[BF16Row.Depth];
        var lower = new U4[BF16Row.Depth];
        for (int i = 0; i < BF16Row.Depth; i++)
        {
            int piece = i * 32 + lane, wanted = piece - next.Pieces >> 31;
            upper[i] = BF16Row.Load(next.Upper, piece, wanted, policy);
            lower[i] = BF16Row.Load(next.Lower, piece, wanted, policy);
        }

        DependentLaunch.AwaitEarlier();
        float scale = RowInput.Prepare(memory, args);

        for (int pair = next.Pair; pair < pairs; pair += stride)
        {
            RowSums sums = default;
            for (int step = 0; step < args.RowStages; step += BF16Row.Depth)
            {
                next.Step += BF16Row.Depth;
                if (next.Step >= args.RowStages)
                {
                    next.Step = 0;
                    next.Pair += stride;
                    next = Locate(next, args, epilogue, pairs);
                }
                for (int i = 0; i < BF16Row.Depth; i++)
                {
                    sums = BF16Row.Add(memory, (step + i) * 32 + lane, upper[i], lower[i], sums);
                    int piece = (next.Step + i) * 32 + lane, wanted = piece - next.Pieces >> 31;
                    upper[i] = BF16Row.Load(next.Upper, piece, wanted, policy);
                    lower[i] = BF16Row.Load(next.Lower, piece, wanted, policy);
                }
            }
            float first = LinearInput.WarpSum(sums.Upper.X + sums.Upper.Y + (sums.Upper.Z + sums.Upper.W));
            float second = LinearInput.WarpSum(sums.Lower.X + sums.Lower.Y + (sums.Lower.Z + sums.Lower.W));
            if (lane == 0) epilogue.Finish(pair >> 3, pair & 7, 0, first * scale, second * scale, epilogue.Ahead(pair >> 3, pair & 7, 0));
        }
    }

    private static RowCursor Locate<TEpilogue>(RowCursor cursor, LinearArgs args, TEpilogue epilogue, int pairs)
        where TEpilogue : struct, ILinearEpilogue
    {
        cursor.Pieces = 0;
        if (cursor.Pair < pairs)
        {
            int tile = cursor.Pair >> 3, slot = cursor.Pair & 7;
            cursor.Pieces = args.RowUnits >> 3;
            cursor.Upper = WeightRing.Address(args, epilogue.Matrix(tile, 0)) + epilogue.Row(tile, slot) * (2L * args.RowUnits);
            cursor.Lower = WeightRing.Address(args, epilogue.Matrix(tile, 8)) + epilogue.Row(tile, slot + 8) * (2L * args.RowUnits);
        }
        return cursor;
    }
}
