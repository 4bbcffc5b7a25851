using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for one activation row and weights in Q4_K, Q8_0, Q4_0 or Q6_K (CUDA): each warp streams eight weight rows at a time, half a tile, through a ring of its own in shared memory and multiplies them,
/// as they are stored, with the digits of the activations on integer tensor cores (<see cref="IDigitCodec"/>). A group takes the same share of the rows as every other, and its warps the stages in turn, so that what they
/// ask for together lies side by side; the parts are summed at the end.
/// </summary>
/// <remarks>
/// Weights are asked for before the activations are awaited: in a graph on sm_90 a group begins where one of the kernel before has ended, and its ring fills while others end, and while activations come (<see cref="ProductChain"/>).
/// </remarks>
internal static class RowDigitKernel
{
    /// <summary>Columns of a row's stage / 8.</summary>
    public const int StageOcts = 64;

    /// <summary>Depths of rings (<see cref="RowRing"/>), the best first: what is under way keeps the memory at work while activations are awaited and prepared. The others leave room for another kernel's groups, or find room on devices that have less.</summary>
    public static int[] Depths(WeightFormat format) => format switch
    {
        WeightFormat.Q4_K => [5, 4, 2],
        WeightFormat.Q4_0 => [5, 4],
        _ => [4, 3],
    };

    /// <summary>The variant for a weight format, one of its depths and what becomes of the products, with weights copied by maps or by lanes (<see cref="DigitCodec.ByLanes"/>).</summary>
    public static KernelVariant Variant(WeightFormat format, int depth, bool byMaps, Type epilogue) =>
        KernelVariant.Of(typeof(RowDigitKernel), nameof(Run), (RowRing.MaxWarps + RowRing.Beside(epilogue)) * 32, (DigitCodec.Of(format) ?? throw new ArgumentOutOfRangeException(nameof(format), format, "no codec")).Type, KernelCounts.Of(depth), byMaps ? typeof(MapCopies) : typeof(LaneCopies), epilogue) with
        {
            CudaOnly = true,
            MinGroups = 2,
            DynamicSharedBytes = TensorDecodeKernel.HopperSharedBytes,
            HasTensorCopies = byMaps,
        };

    /// <summary>All variants; maps are for what <see cref="StageLayout"/> describes.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from format in Enum.GetValues<WeightFormat>()
        where DigitCodec.Of(format) is not null
        from depth in Depths(format)
        from byMaps in DigitCodec.Of(format)!.ByLanes ? new[] { false, true } : [true]
        from epilogue in byMaps ? LinearKernel.AllEpilogues[..3] : LinearKernel.AllEpilogues
        select Variant(format, depth, byMaps, epilogue);

    /// <summary>16-byte units of a group's shared memory for a row of <paramref name="stages"/> stages and <paramref name="eights"/> times eight weight rows.</summary>
    public static int Units(DigitCodec codec, int depth, int warps, int stages, int eights) => DigitMemory.Of(depth, codec.Units, warps, stages * StageOcts, eights).Total;

    /// <summary>Stages of a row.</summary>
    public static int RowStages(int columns) => (columns / 8 + StageOcts - 1) / StageOcts;

    /// <summary>Grid of any number of groups; a multiple of 32 threads each. <see cref="LinearArgs.RowStages"/> are stages of this kernel, and <typeparamref name="TDepth"/> is how many of them a warp has under way.</summary>
    public static void Run<TCodec, TDepth, TCopies, TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TCodec : struct, IDigitCodec
        where TDepth : struct, IKernelCount
        where TCopies : struct, IStageCopies
        where TEpilogue : struct, ILinearEpilogue
    {
        if (args.StartsNext != 0) DependentLaunch.LetNextStart();
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = (Group.DimX >> 5) - RowRing.Beside<TEpilogue>();
        ulong policy = Loads.EvictFirst();
        int firstEight = args.FirstShare, eights = args.Shares;
        var places = DigitMemory.Of(TDepth.Value, TCodec.Units, warps, args.RowStages * StageOcts, eights);
        int stepEights = warps / args.RowStages, stepStages = warps - stepEights * args.RowStages;
        int eight = warp / args.RowStages, stage = warp - eight * args.RowStages;
        // who is there for the epilogue's terms has none of them
        if (warp == warps) eight = eights;
        int ring = warp * RingUnits<TCodec, TDepth>(), end = ring + RingUnits<TCodec, TDepth>();
        var next = new DigitCursor { Eight = eight, Stage = stage };
        var copyRows = new int[LaneCopies.Count];
        var copyBytes = new int[LaneCopies.Count];
        // the barrier words of the warp's ring lie where the rows' addresses do not
        int words = places.Rows * 2 + warp * TDepth.Value, word = words;
        if (TCopies.ByMaps) MapCopies.Make(memory, words, warp < warps ? TDepth.Value : 0, args, lane);
        else LaneCopies.Place(copyRows, copyBytes, lane);
        // in loops that are not unrolled: instructions that have not been met before come from memory
        int early = ring + args.EarlyStages * 8 * TCodec.Units, late = early + args.NextStages * 8 * TCodec.Units;
        for (int at = ring; at < early; at += 8 * TCodec.Units)
        {
            if (next.Eight < eights)
            {
                if (TCopies.ByMaps) MapCopies.Ask<TCodec, TEpilogue>(memory, at, word, firstEight + next.Eight, next.Stage, args, lane, policy);
                // their rows are not in the table yet, for which all would wait
                else LaneCopies.AskByRow(memory, at, Row(args, epilogue, firstEight + next.Eight, lane >> 2), next, args, lane, policy);
            }
            if (!TCopies.ByMaps) TensorOps.Commit();
            word++;
            next = Step(next, args, stepEights, stepStages);
        }
        // what else need not wait, behind the weights, for which the memory has been idle
        if (!TCopies.ByMaps)
        {
            var rows = memory.Cast<long>();
            for (int i = Group.IdxX; i < eights * 8; i += Group.DimX) rows[places.Rows * 2 + i] = Row(args, epilogue, firstEight + (i >> 3), i & 7);
            Group.Barrier();
        }
        var input = InputParts.Of(args, DigitMemory.Blocks(args.RowStages * StageOcts), warps);
        InputParts.Expect(memory, args, input, places.Squares);
        var results = memory.Cast<float>();
        for (int i = Group.IdxX; i < eights * DigitMemory.ProductStride(warps); i += Group.DimX) results[places.Products * 4 + i] = 0f;
        // no kernel but the step's last writes what it reads
        if (TEpilogue.HasTerms && warp == warps)
        {
            for (int i = lane; i < eights * 4; i += 32) epilogue.Ahead(Part(firstEight, i) >> 1, Slot(firstEight, i), 0).Store(memory, places.Terms + i * EpilogueTerms.Units);
        }
        DependentLaunch.AwaitEarlier();
        InputParts.Bring(memory, args, input, places.X + input.First * 64, places.Squares);
        for (int at = early; at < late; at += 8 * TCodec.Units, word++)
        {
            Ask<TCodec, TCopies, TEpilogue>(memory, at, word, next, args, places, firstEight, eights, copyRows, copyBytes, lane, policy);
            next = Step(next, args, stepEights, stepStages);
        }
        InputParts.Prepare<DigitInput<TCodec>>(memory, args, input, places.X, places.Scales, places.Sums, places.Squares);
        for (int at = late; at < end; at += 8 * TCodec.Units, word++)
        {
            Ask<TCodec, TCopies, TEpilogue>(memory, at, word, next, args, places, firstEight, eights, copyRows, copyBytes, lane, policy);
            next = Step(next, args, stepEights, stepStages);
        }
        Group.Barrier();

        // digits 2 and 3 are those of odd lanes
        float sum = 0f, done = 0f, weight = 1 + (lane & 1) * 65535;
        int stride = DigitMemory.ProductStride(warps), products = places.Products * 4 + warp * 8 + (lane >> 2), target = places.Products * 4 + stride * eights + warp;
        var slot = new RingSlot { At = ring, Word = words };
        // Two loops, of which this is the shorter one: to ask in a single one whether digits are still the same takes what it saves.
        if (args.RowStages == warps)
        {
            var held = StageDigits.Load<TCodec>(memory, places.X + stage * 2 * StageOcts, places.Sums * 2 + stage * (StageOcts >> 3), places.Scales * 4 + stage * (StageOcts >> 5), lane);
            held.Scale *= weight;
            for (; eight < eights; eight++)
            {
                Await<TDepth, TCopies>(memory, slot);
                Put(results, target, done, lane);
                done = TCodec.Multiply<HeldDigits>(memory, slot.At, stage, held, 0, 0, 0, lane, 0f);
                TensorOps.WarpSync();
                Ask<TCodec, TCopies, TEpilogue>(memory, slot.At, slot.Word, next, args, places, firstEight, eights, copyRows, copyBytes, lane, policy);
                // the same columns of the next eight rows
                next.Eight++;
                slot = slot.Next<TCodec>(ring, end, words);
                target = products + eight * stride;
            }
        }
        else
        {
            while (eight < eights)
            {
                Await<TDepth, TCopies>(memory, slot);
                // The lanes' parts of the eight before, which have nothing to do with this one's: its instructions fill the time that these take to come.
                Put(results, target, done, lane);
                sum = TCodec.Multiply<LoadedDigits>(memory, slot.At, stage, default, places.X + stage * 2 * StageOcts, places.Sums * 2 + stage * (StageOcts >> 3), places.Scales * 4 + stage * (StageOcts >> 5), lane, sum);
                TensorOps.WarpSync();
                Ask<TCodec, TCopies, TEpilogue>(memory, slot.At, slot.Word, next, args, places, firstEight, eights, copyRows, copyBytes, lane, policy);
                next = Step(next, args, stepEights, stepStages);
                slot = slot.Next<TCodec>(ring, end, words);
                target = products + eight * stride;
                var now = Step(new DigitCursor { Eight = eight, Stage = stage }, args, stepEights, stepStages);
                // what is not whole yet is written, and then written again
                done = sum * weight;
                sum = now.Eight == eight ? sum : 0f;
                (eight, stage) = (now.Eight, now.Stage);
            }
        }
        Put(results, target, done, lane);
        if (!TCopies.ByMaps) TensorOps.WaitGroup(0);
        float factor = InputParts.Factor(memory, args, places.Squares);
        Group.Barrier();
        for (int i = Group.IdxX; i < eights * 4; i += Group.DimX)
        {
            float upper = 0f, lower = 0f;
            for (int w = 0; w < RowRing.MaxWarps; w++)
            {
                if (w < warps)
                {
                    upper += results[places.Products * 4 + (i >> 2) * stride + w * 8 + (i & 3)];
                    lower += results[places.Products * 4 + (i >> 2) * stride + w * 8 + (i & 3) + 4];
                }
            }
            EpilogueTerms terms = default;
            if (TEpilogue.HasTerms) terms = EpilogueTerms.Load(memory, places.Terms + i * EpilogueTerms.Units);
            epilogue.Finish(Part(firstEight, i) >> 1, Slot(firstEight, i), 0, upper * factor, lower * factor, terms);
        }
    }

    /// <summary>What the lane's half of the columns has of a result: of its upper or of its lower rows.</summary>
    public static int Own(int upper, int lower, int half) => upper ^ (upper ^ lower) & -half;

    // Which eight rows number `i` of four times as many results belongs to, and which of their tile's slots.
    private static int Part(int firstEight, int i) => firstEight + (i >> 2);

    private static int Slot(int firstEight, int i) => (Part(firstEight, i) & 1) * 4 + (i & 3);

    // The address of row `i` of eight, of which 0 to 3 and 4 to 7 are slots that end in one thread.
    private static long Row<TEpilogue>(LinearArgs args, TEpilogue epilogue, int eight, int i)
        where TEpilogue : struct, ILinearEpilogue
    {
        int tile = eight >> 1, own = (eight & 1) * 4 + (i & 3) + (i >> 2) * 8;
        return WeightRing.Address(args, epilogue.Matrix(tile, own)) + epilogue.Row(tile, own) * (2L * args.RowUnits);
    }

    private static int RingUnits<TCodec, TDepth>()
        where TCodec : struct, IDigitCodec
        where TDepth : struct, IKernelCount => TDepth.Value * 8 * TCodec.Units;

    // The warp's next stage.
    private static DigitCursor Step(DigitCursor cursor, LinearArgs args, int eights, int stages)
    {
        cursor.Eight += eights;
        cursor.Stage += stages;
        // a row's end: without a condition, of which ILGPU would make a branch
        int past = ~(cursor.Stage - args.RowStages >> 31);
        cursor.Stage -= args.RowStages & past;
        cursor.Eight -= past;
        return cursor;
    }

    // The sum over four lanes to where it belongs.
    private static void Put(ArrayView<float> results, int target, float sum, int lane)
    {
        sum += Warp.ShuffleXor(sum, 1);
        sum += Warp.ShuffleXor(sum, 2);
        if ((lane & 3) == 0) results[target] = sum;
    }

    // Waits for the stage of a slot.
    private static void Await<TDepth, TCopies>(ArrayView<U4> memory, RingSlot slot)
        where TDepth : struct, IKernelCount
        where TCopies : struct, IStageCopies
    {
        if (TCopies.ByMaps)
        {
            MapCopies.Await(memory, slot.Word, slot.Parity);
        }
        else
        {
            TensorOps.WaitGroup(TDepth.Value - 1);
            TensorOps.WarpSync();
        }
    }

    // Asks for the cursor's stage, if the group has it. By lanes it always ends a group of copies.
    private static void Ask<TCodec, TCopies, TEpilogue>(ArrayView<U4> memory, int at, int word, DigitCursor next, LinearArgs args, DigitMemory places, int firstEight, int eights, int[] copyRows, int[] copyBytes, int lane, ulong policy)
        where TCodec : struct, IDigitCodec
        where TCopies : struct, IStageCopies
        where TEpilogue : struct, ILinearEpilogue
    {
        if (next.Eight < eights)
        {
            if (TCopies.ByMaps) MapCopies.Ask<TCodec, TEpilogue>(memory, at, word, firstEight + next.Eight, next.Stage, args, lane, policy);
            else LaneCopies.Ask(memory, at, memory.Cast<long>(), places.Rows * 2 + next.Eight * 8, next, args, copyRows, copyBytes, lane, policy);
        }
        if (!TCopies.ByMaps) TensorOps.Commit();
    }
}
