using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for one activation row and weights in Q4_K at the speed of memory (CUDA): each warp streams eight weight rows at a time, half a tile, through a ring of its own in shared memory and multiplies them,
/// as they are stored, with the digits of the activations on integer tensor cores (<see cref="Q4_KDigits"/>), exactly. A group takes the same share of the rows as every other, and its warps the stages in turn, so that what they
/// ask for together lies side by side; the parts are summed at the end.
/// </summary>
/// <remarks>
/// Weights are asked for before the activations are awaited, and groups are small enough that two fit on a multiprocessor: in a graph on sm_90 one kernel's ring fills while the kernel before it ends.
/// </remarks>
internal static class RowDigitKernel
{
    /// <summary>Most warps a group.</summary>
    public const int Warps = 8;

    /// <summary>Stages that a warp may have under way, the best first: the more, the longer the memory is at work while the activations are awaited and prepared.</summary>
    public static int[] Depths => [5, 4, 3];

    /// <summary>The variant for a depth and what becomes of the products.</summary>
    public static KernelVariant Variant(int depth, Type epilogue) => KernelVariant.Of(typeof(RowDigitKernel), nameof(Run), Warps * 32, KernelCounts.Of(depth), epilogue) with
    {
        CudaOnly = true,
        MinGroups = 2,
        DynamicSharedBytes = TensorDecodeKernel.HopperSharedBytes,
    };

    /// <summary>All variants.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from depth in Depths
        from epilogue in LinearKernel.AllEpilogues
        select Variant(depth, epilogue);

    /// <summary>16-byte units of a group's shared memory for a row of <paramref name="stages"/> stages and <paramref name="eights"/> times eight weight rows.</summary>
    public static int Units(int depth, int warps, int stages, int eights) => DigitMemory.Of(depth * 8 * Q4_KDigits.Units, warps, stages * Q4_KDigits.Octs, eights).Total;

    /// <summary>Grid of any number of groups; a multiple of 32 threads each. <see cref="LinearArgs.RowStages"/> are stages of this kernel, and <typeparamref name="TDepth"/> is how many of them a warp has under way.</summary>
    public static void Run<TDepth, TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TDepth : struct, IKernelCount
        where TEpilogue : struct, ILinearEpilogue
    {
        if (args.StartsNext != 0) DependentLaunch.LetNextStart();
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        ulong policy = Loads.EvictFirst();
        int firstEight = args.FirstShare, eights = args.Shares;
        var places = DigitMemory.Of(RingUnits<TDepth>(), warps, args.RowStages * Q4_KDigits.Octs, eights);
        int count = (eights * args.RowStages - warp + warps - 1) / warps, eight = warp / args.RowStages, stage = warp - eight * args.RowStages;
        var next = Locate(new DigitCursor { Left = count, Eight = firstEight + eight, Stage = stage }, args, epilogue, lane);
        next.StepEights = warps / args.RowStages;
        next.StepStages = warps - next.StepEights * args.RowStages;
        int ring = warp * RingUnits<TDepth>(), end = ring + RingUnits<TDepth>();
        for (int i = 0; i < TDepth.Value; i++) next = Ask(memory, ring + i * 8 * Q4_KDigits.Units, next, args, epilogue, lane, policy);
        DigitInput.Ahead(args);
        var results = memory.Cast<float>();
        for (int i = Group.IdxX; i < eights * DigitMemory.ProductFloats; i += Group.DimX) results[places.Products * 4 + i] = 0f;

        DependentLaunch.AwaitEarlier();
        DigitInput.Prepare(memory, args, places);

        int at = ring;
        float sum = 0f;
        for (int left = count; left > 0; left--)
        {
            TensorOps.WaitGroup(TDepth.Value - 1);
            TensorOps.WarpSync();
            sum = Q4_KDigits.Multiply(memory, at, places.X + stage * 2 * Q4_KDigits.Octs, places.Sums * 2 + stage * (Q4_KDigits.Octs >> 3), places.Scales * 4 + stage * (Q4_KDigits.Octs >> 5), lane, sum);
            TensorOps.WarpSync();
            next = Ask(memory, at, next, args, epilogue, lane, policy);
            at = at + 8 * Q4_KDigits.Units == end ? ring : at + 8 * Q4_KDigits.Units;
            int done = eight;
            stage += next.StepStages;
            eight += next.StepEights;
            if (stage >= args.RowStages)
            {
                stage -= args.RowStages;
                eight++;
            }
            if (eight != done || left == 1)
            {
                // digits 2 and 3 are those of odd lanes
                sum *= 1 + (lane & 1) * 65535;
                sum += Warp.ShuffleXor(sum, 1);
                sum += Warp.ShuffleXor(sum, 2);
                if ((lane & 3) == 0) results[places.Products * 4 + DigitMemory.Product(done, warp, lane >> 2)] = sum;
                sum = 0f;
            }
        }
        TensorOps.WaitGroup(0);
        float factor = DigitInput.Factor(memory, args, places);
        Group.Barrier();
        for (int i = Group.IdxX; i < eights * 4; i += Group.DimX)
        {
            int part = firstEight + (i >> 2);
            float upper = 0f, lower = 0f;
            for (int w = 0; w < Warps; w++)
            {
                upper += results[places.Products * 4 + DigitMemory.Product(i >> 2, w, i & 3)];
                lower += results[places.Products * 4 + DigitMemory.Product(i >> 2, w, (i & 3) + 4)];
            }
            epilogue.Finish(part >> 1, (part & 1) * 4 + (i & 3), 0, upper * factor, lower * factor);
        }
    }

    /// <summary>What the lane's half of the columns has of a result: of its upper or of its lower rows.</summary>
    public static int Own(int upper, int lower, int half) => upper ^ (upper ^ lower) & -half;

    private static int RingUnits<TDepth>()
        where TDepth : struct, IKernelCount => TDepth.Value * 8 * Q4_KDigits.Units;

    private static DigitCursor Locate<TEpilogue>(DigitCursor cursor, LinearArgs args, TEpilogue epilogue, int lane)
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Left > 0)
        {
            // rows 0 to 3 and 4 to 7 are slots that end in one thread
            int tile = cursor.Eight >> 1, slot = (cursor.Eight & 1) * 4 + (lane >> 2 & 3) + (lane >> 4) * 8;
            cursor.Source = WeightRing.Address(args, epilogue.Matrix(tile, slot)) + epilogue.Row(tile, slot) * (2L * args.RowUnits) + (cursor.Stage * Q4_KDigits.Units + (lane & 3)) * 16L;
        }
        return cursor;
    }

    // Starts the copies of the cursor's stage and moves the cursor on. Always ends a group of copies.
    private static DigitCursor Ask<TEpilogue>(ArrayView<U4> memory, int at, DigitCursor cursor, LinearArgs args, TEpilogue epilogue, int lane, ulong policy)
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Left > 0)
        {
            int target = at + (lane >> 2) * Q4_KDigits.Units + (lane & 3), has = (args.RowUnits >> 3) - cursor.Stage * Q4_KDigits.Units;
            if (has >= Q4_KDigits.Units)
            {
                for (int i = 0; i < Q4_KDigits.Units + 3 >> 2; i++)
                {
                    if (4 * i + 3 < Q4_KDigits.Units || 4 * i + (lane & 3) < Q4_KDigits.Units) LinearOps.CopyOnce(ref memory[target], 64 * i, cursor.Source + 64L * i, policy);
                }
            }
            else
            {
                // what the row does not have is zeros
                for (int i = 0; i < Q4_KDigits.Units + 3 >> 2; i++)
                {
                    if (4 * i + 3 < Q4_KDigits.Units || 4 * i + (lane & 3) < Q4_KDigits.Units) LinearOps.CopyOnce(ref memory[target], 64 * i, cursor.Source + 64L * i, 16 & (4 * i + (lane & 3) - has >> 31), policy);
                }
            }
            int asked = cursor.Eight;
            cursor.Left--;
            cursor.Eight += cursor.StepEights;
            cursor.Stage += cursor.StepStages;
            cursor.Source += cursor.StepStages * (Q4_KDigits.Units * 16L);
            if (cursor.Stage >= args.RowStages)
            {
                cursor.Stage -= args.RowStages;
                cursor.Eight++;
            }
            if (cursor.Eight != asked) cursor = Locate(cursor, args, epilogue, lane);
        }
        TensorOps.Commit();
        return cursor;
    }
}
