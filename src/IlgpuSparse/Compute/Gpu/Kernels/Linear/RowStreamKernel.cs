using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for one activation row and weights in half precision or Q8_0 at the speed of memory (CUDA): each warp streams two weight rows at a time, the ones whose products end in the same thread, through a ring of
/// its own in shared memory, and multiplies them on tensor cores (<see cref="IStreamCodec"/>). A group takes the same share of the rows as every other, a warp the same share of the group's stages; the parts are summed at
/// the end.
/// </summary>
/// <remarks>
/// Weights are asked for before the activations are awaited, and groups are small enough that two fit on a multiprocessor: in a graph on sm_90 one kernel's ring fills while the kernel before it ends.
/// </remarks>
internal static class RowStreamKernel
{
    /// <summary>Warps a group.</summary>
    public const int Warps = 8;

    /// <summary>Stages that a warp has under way.</summary>
    private const int Depth = 4;

    /// <summary>The variant for a weight format and what becomes of the products.</summary>
    public static KernelVariant Variant(WeightFormat format, Type epilogue)
    {
        var codec = StreamCodec.Of(format) ?? throw new ArgumentOutOfRangeException(nameof(format), format, "no codec");
        return KernelVariant.Of(typeof(RowStreamKernel), nameof(Run), Warps * 32, codec.Type, epilogue) with
        {
            CudaOnly = true,
            MinGroups = 2,
            DynamicSharedBytes = TensorDecodeKernel.HopperSharedBytes,
        };
    }

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from format in Enum.GetValues<WeightFormat>()
        where StreamCodec.Of(format) is not null
        from epilogue in LinearKernel.AllEpilogues
        select Variant(format, epilogue);

    /// <summary>16-byte units of a warp's ring, for stages of <paramref name="units"/> a row.</summary>
    public static int RingUnits(int units) => Depth * 2 * units;

    /// <summary>Grid of any number of groups; a multiple of 32 threads each. <see cref="LinearArgs.RowStages"/> are stages of this kernel.</summary>
    public static void Run<TCodec, TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TCodec : struct, IStreamCodec
        where TEpilogue : struct, ILinearEpilogue
    {
        if (args.StartsNext != 0) DependentLaunch.LetNextStart();
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        ulong policy = Loads.EvictFirst();
        int firstPair = args.FirstShare, pairs = args.Shares;
        var places = StreamMemory.Of(warps, TCodec.Units, args.RowStages, TCodec.Quads, pairs);
        var input = StreamInput.Ahead<TCodec>(memory, args, places);
        int stages = pairs * args.RowStages, from = stages * warp / warps, to = stages * (warp + 1) / warps;
        int pair = from / args.RowStages, stage = from - pair * args.RowStages, start = stage;
        var next = Locate(new StreamCursor { Left = to - from, Pair = firstPair + pair, Stage = stage }, args, epilogue);
        int ring = warp * RingUnits(TCodec.Units);
        for (int i = 0; i < Depth; i++) next = Ask<TCodec, TEpilogue>(memory, ring + i * 2 * TCodec.Units, next, args, epilogue, lane, policy);

        DependentLaunch.AwaitEarlier();
        var results = memory.Cast<F2>();
        for (int i = Group.IdxX; i < stages; i += Group.DimX) results[places.Products * 2 + i] = default;
        float scale = StreamInput.Prepare(memory, args, places, input);

        int slot = 0;
        // the lanes with their own segment's column of the result, which is the even or the odd one of theirs
        bool own = (lane & 3) == lane >> 3, odd = (lane & 4) != 0;
        F4 sums = default;
        for (int left = to - from; left > 0; left--)
        {
            TensorOps.WaitGroup(Depth - 1);
            TensorOps.WarpSync();
            int at = ring + slot * 2 * TCodec.Units;
            sums = TCodec.Multiply(memory, at, places.X + stage * TCodec.Quads, lane, sums);
            TensorOps.WarpSync();
            next = Ask<TCodec, TEpilogue>(memory, at, next, args, epilogue, lane, policy);
            slot = slot + 1 == Depth ? 0 : slot + 1;
            stage++;
            if (stage == args.RowStages || left == 1)
            {
                float upper = LinearInput.WarpSum(own ? odd ? sums.Y : sums.X : 0f);
                float lower = LinearInput.WarpSum(own ? odd ? sums.W : sums.Z : 0f);
                if (lane == 0) results[places.Products * 2 + pair * args.RowStages + start] = new F2 { X = upper, Y = lower };
                sums = default;
                stage = 0;
                start = 0;
                pair++;
            }
        }
        TensorOps.WaitGroup(0);
        Group.Barrier();
        for (int i = Group.IdxX; i < pairs; i += Group.DimX)
        {
            float upper = 0f, lower = 0f;
            for (int s = 0; s < args.RowStages; s++)
            {
                var part = results[places.Products * 2 + i * args.RowStages + s];
                upper += part.X;
                lower += part.Y;
            }
            epilogue.Finish(firstPair + i >> 3, firstPair + i & 7, 0, upper * scale, lower * scale);
        }
    }

    private static StreamCursor Locate<TEpilogue>(StreamCursor cursor, LinearArgs args, TEpilogue epilogue)
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Left > 0)
        {
            int tile = cursor.Pair >> 3, slot = cursor.Pair & 7;
            cursor.Upper = WeightRing.Address(args, epilogue.Matrix(tile, 0)) + epilogue.Row(tile, slot) * (2L * args.RowUnits);
            cursor.Lower = WeightRing.Address(args, epilogue.Matrix(tile, 8)) + epilogue.Row(tile, slot + 8) * (2L * args.RowUnits) - cursor.Upper;
        }
        return cursor;
    }

    // Starts the copies of the cursor's stage and moves the cursor on. Always ends a group of copies.
    private static StreamCursor Ask<TCodec, TEpilogue>(ArrayView<U4> memory, int at, StreamCursor cursor, LinearArgs args, TEpilogue epilogue, int lane, ulong policy)
        where TCodec : struct, IStreamCodec
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Left > 0)
        {
            // what the rows still have; the rest of the stage is zeros
            int had = cursor.Stage * TCodec.Units, has = (args.RowUnits >> 3) - had;
            long source = cursor.Upper + (had + lane) * 16L;
            for (int i = 0; i < 2 * TCodec.Units + 31 >> 5; i++)
            {
                if (32 * i + 31 < TCodec.Units)
                {
                    LinearOps.CopyOnce(ref memory[at + lane], 512 * i, source + 512L * i, 16 & (32 * i + lane - has >> 31), policy);
                }
                else
                {
                    // units of the lower row follow those of the upper one
                    int past = 32 * i - TCodec.Units;
                    if (past >= 0)
                    {
                        if (past + 31 < TCodec.Units || past + lane < TCodec.Units)
                            LinearOps.CopyOnce(ref memory[at + lane], 512 * i, source + cursor.Lower + 16L * past, 16 & (past + lane - has >> 31), policy);
                    }
                    else
                    {
                        bool lower = past + lane >= 0;
                        LinearOps.CopyOnce(ref memory[at + lane], 512 * i, source + (lower ? cursor.Lower + 16L * past : 512L * i), 16 & ((lower ? past : 32 * i) + lane - has >> 31), policy);
                    }
                }
            }
            cursor.Left--;
            cursor.Stage++;
            if (cursor.Stage == args.RowStages)
            {
                cursor.Stage = 0;
                cursor.Pair++;
                cursor = Locate(cursor, args, epilogue);
            }
        }
        TensorOps.Commit();
        return cursor;
    }
}
