using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for one activation row and weights in half precision or Q8_0 at the speed of memory (CUDA): each warp streams two weight rows at a time, the ones whose products end in the same thread, through a ring of
/// its own in shared memory, and multiplies them on tensor cores (<see cref="IStreamCodec"/>). A group takes the same share of the rows as every other, a warp the same share of the group's stages; the parts are summed at
/// the end.
/// </summary>
/// <remarks>
/// Weights are asked for before the activations are awaited: in a graph on sm_90 a group begins where one of the kernel before has ended, and its ring fills while others end, and while activations come (<see cref="ProductChain"/>).
/// </remarks>
internal static class RowStreamKernel
{
    /// <summary>
    /// Depths of rings (<see cref="RowRing"/>) for weights of <paramref name="format"/>, the best first: the more under way, the longer the memory is at work while one kernel ends and the activations of the next are awaited and prepared. Why Q8_0 takes
    /// longer with more is not known. The others leave room for another kernel's groups, or find room on devices that have less.
    /// </summary>
    public static int[] Depths(WeightFormat format) => format == WeightFormat.Q8_0 ? [4, 3] : [8, 4];

    /// <summary>The variant for a weight format, one of its depths and what becomes of the products.</summary>
    public static KernelVariant Variant(WeightFormat format, int depth, Type epilogue)
    {
        var codec = StreamCodec.Of(format) ?? throw new ArgumentOutOfRangeException(nameof(format), format, "no codec");
        return KernelVariant.Of(typeof(RowStreamKernel), nameof(Run), (RowRing.MaxWarps + RowRing.Beside(epilogue)) * 32, codec.Type, KernelCounts.Of(depth), epilogue) with
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
        from depth in Depths(format)
        from epilogue in LinearKernel.AllEpilogues
        select Variant(format, depth, epilogue);

    /// <summary>Grid of any number of groups; a multiple of 32 threads each. <see cref="LinearArgs.RowStages"/> are stages of this kernel, and <typeparamref name="TDepth"/> is how many of them a warp has under way.</summary>
    public static void Run<TCodec, TDepth, TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TCodec : struct, IStreamCodec
        where TDepth : struct, IKernelCount
        where TEpilogue : struct, ILinearEpilogue
    {
        if (args.StartsNext != 0) DependentLaunch.LetNextStart();
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = (Group.DimX >> 5) - RowRing.Beside<TEpilogue>();
        ulong policy = Loads.EvictFirst();
        int firstPair = args.FirstShare, pairs = args.Shares;
        var places = StreamMemory.Of(TDepth.Value, warps, TCodec.Units, args.RowStages, TCodec.Quads, pairs);
        int stages = pairs * args.RowStages, from = stages * warp / warps, to = IntrinsicMath.Min(stages * (warp + 1) / warps, stages);
        int pair = from / args.RowStages, stage = from - pair * args.RowStages, start = stage;
        var next = Locate(new StreamCursor { Left = to - from, Pair = firstPair + pair, Stage = stage }, args, epilogue);
        int ring = warp * TDepth.Value * 2 * TCodec.Units, end = ring + TDepth.Value * 2 * TCodec.Units, early = ring + args.EarlyStages * 2 * TCodec.Units, late = early + args.NextStages * 2 * TCodec.Units;
        // in loops that are not unrolled: instructions that have not been met before come from memory
        for (int at = ring; at < early; at += 2 * TCodec.Units) next = Ask<TCodec, TEpilogue>(memory, at, next, args, epilogue, lane, policy);
        // what else need not wait, behind the weights, for which the memory has been idle
        var input = InputParts.Of(args, args.RowStages * (TCodec.Quads / 64), warps);
        InputParts.Expect(memory, args, input, places.Squares);
        // no kernel but the step's last writes what it reads
        if (TEpilogue.HasTerms && warp == warps)
        {
            for (int i = lane; i < pairs; i += 32) epilogue.Ahead(firstPair + i >> 3, firstPair + i & 7, 0).Store(memory, places.Terms + i * EpilogueTerms.Units);
        }
        DependentLaunch.AwaitEarlier();
        InputParts.Bring(memory, args, input, places.X + input.First * 64, places.Squares);
        for (int at = early; at < late; at += 2 * TCodec.Units) next = Ask<TCodec, TEpilogue>(memory, at, next, args, epilogue, lane, policy);
        InputParts.Prepare<StreamInput>(memory, args, input, places.X, places.Scales, default, places.Squares);
        for (int at = late; at < end; at += 2 * TCodec.Units) next = Ask<TCodec, TEpilogue>(memory, at, next, args, epilogue, lane, policy);
        Group.Barrier();

        var results = memory.Cast<F2>();
        int slot = ring;
        // the lanes with their own segment's column of the result, which is the even or the odd one of theirs
        bool own = (lane & 3) == lane >> 3, odd = (lane & 4) != 0;
        F4 sums = default;
        for (int left = to - from; left > 0; left--)
        {
            TensorOps.WaitGroup(TDepth.Value - 1);
            TensorOps.WarpSync();
            sums = TCodec.Multiply(memory, slot, places.X + stage * TCodec.Quads, places.Scales * 4 + stage * (TCodec.Quads / 64), lane, sums);
            TensorOps.WarpSync();
            next = Ask<TCodec, TEpilogue>(memory, slot, next, args, epilogue, lane, policy);
            slot = slot + 2 * TCodec.Units == end ? ring : slot + 2 * TCodec.Units;
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
        float factor = InputParts.Factor(memory, args, places.Squares);
        Group.Barrier();
        for (int i = Group.IdxX; i < pairs; i += Group.DimX)
        {
            var sum = Sum(results, places.Products * 2, i * args.RowStages, args.RowStages, stages, warps);
            EpilogueTerms terms = default;
            if (TEpilogue.HasTerms) terms = EpilogueTerms.Load(memory, places.Terms + i * EpilogueTerms.Units);
            epilogue.Finish(firstPair + i >> 3, firstPair + i & 7, 0, sum.X * factor, sum.Y * factor, terms);
        }
    }

    // The parts of a pair, in order: one from its first stage on, and one from each where a warp with anything to do begins. All are read at once, and masks, not conditions, say what counts.
    private static F2 Sum(ArrayView<F2> results, int products, int first, int length, int stages, int warps)
    {
        var sum = results[products + first];
        for (int warp = 1; warp < RowRing.MaxWarps; warp++)
        {
            int begin = stages * warp / warps, inside = begin - first;
            int counts = ~(inside - 1 >> 31) & inside - length >> 31 & begin - stages * (warp + 1) / warps >> 31 & warp - warps >> 31;
            var part = results[products + first + (inside & counts)];
            sum.X += Interop.IntAsFloat(Interop.FloatAsInt(part.X) & (uint)counts);
            sum.Y += Interop.IntAsFloat(Interop.FloatAsInt(part.Y) & (uint)counts);
        }
        return sum;
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
