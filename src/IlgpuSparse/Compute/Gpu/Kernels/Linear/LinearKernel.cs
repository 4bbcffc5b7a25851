using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// y = x · Wᵀ for few activation rows at the speed of memory (CUDA): a group takes tiles of 16 weight rows, its warps share a tile's stages. Each warp keeps several stages in flight with
/// asynchronous copies into a ring of its own, unpacks them exactly to 16 bits and multiplies them with tensor cores. Activations are the eight columns of the other operand: each is the sum of
/// limbs of 16 bits, so that nothing is rounded that single precision would not round, and several rows cost no more weights.
/// </summary>
internal static class LinearKernel
{
    /// <summary>Weight rows a tile.</summary>
    public const int TileRows = 16;

    /// <summary>Most warps a group; one group of them or two of half as many fit on a multiprocessor, by registers.</summary>
    public const int MaxWarps = 16;

    /// <summary>The variant for a weight format, a number of eight-column tiles and what becomes of the products.</summary>
    public static KernelVariant Variant(WeightFormat format, int tiles, Type epilogue)
    {
        var codec = TileCodecs.Of(format) ?? throw new ArgumentOutOfRangeException(nameof(format), format, "no codec");
        return KernelVariant.Of(typeof(LinearKernel), nameof(Run), MaxWarps * 32, codec.Type, codec.Element, KernelCounts.Of(tiles), epilogue) with
        {
            CudaOnly = true,
            MinGroups = 1,
            HoldsNext = epilogue == typeof(QkvEpilogue),
            DynamicSharedBytes = TensorDecodeKernel.HopperSharedBytes,
        };
    }

    /// <summary>All variants; experts work on single rows.</summary>
    public static IEnumerable<KernelVariant> Variants =>
        from format in Enum.GetValues<WeightFormat>()
        where TileCodecs.Of(format) is not null
        from tiles in TileCodecs.Of(format)!.Scaled ? new[] { 0, 1, 2, 4 } : [1, 2, 4]
        from epilogue in tiles < 2 && !(tiles == 1 && TileCodecs.Of(format)!.Scaled) ? AllEpilogues : AllEpilogues[..3]
        select Variant(format, tiles, epilogue);

    /// <summary>What can become of products.</summary>
    public static Type[] AllEpilogues => [typeof(StoreEpilogue), typeof(SwiGluEpilogue), typeof(QkvEpilogue), typeof(ExpertGateUpEpilogue), typeof(ExpertDownEpilogue)];

    /// <summary>Grid of any number of groups; a multiple of 32 threads each.</summary>
    /// <remarks><typeparamref name="TTiles"/> is the number of eight-column tiles of activations; 0 for a single row of scaled formats, see <see cref="StageProduct.AccumulateRow"/>.</remarks>
    public static void Run<TCodec, TElement, TTiles, TEpilogue>(LinearArgs args, TEpilogue epilogue)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
        where TTiles : struct, IKernelCount
        where TEpilogue : struct, ILinearEpilogue
    {
        var memory = SharedMemory.GetDynamic<U4>();
        args = epilogue.Bind(args);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        var places = LinearMemory.Of(TCodec.Stages * TileRows * TCodec.Slot, warps, args.RowStages, TCodec.Runs, TCodec.Limbs, args.Rows, Tiles<TTiles>());
        int ring = warp * TCodec.Stages * TileRows * TCodec.Slot;
        ulong policy = Loads.EvictFirst();

        // where the next stage to ask for is: the weights come while the activations are prepared
        var next = new StageCursor { Tile = Grid.IdxX, Stage = warp };
        if (warp >= args.RowStages) next.Tile = args.Tiles;
        next = WeightRing.Locate(next, args, epilogue, lane);
        for (int s = 0; s < TCodec.Stages; s++) next = WeightRing.Ask<TCodec, TEpilogue>(memory, ring + s * TileRows * TCodec.Slot, next, args, epilogue, lane, warp, warps, policy);

        DependentLaunch.AwaitEarlier();
        LinearInput.Prepare<TCodec, TElement, TTiles>(memory, args, places);

        int parity = 0, slot = 0;
        for (int tile = Grid.IdxX; tile < args.Tiles; tile += Grid.DimX)
        {
            int start0 = epilogue.Row(tile, lane >> 2) * args.RowUnits + args.FirstUnit, start1 = epilogue.Row(tile, (lane >> 2) + 8) * args.RowUnits + args.FirstUnit;
            var sums = new F4[TTiles.Slots];
            for (int stage = warp; stage < args.RowStages; stage += warps)
            {
                TensorOps.WaitGroup(TCodec.Stages - 1);
                TensorOps.WarpSync();
                int at = ring + slot * TileRows * TCodec.Slot;
                int upper = (at + (lane >> 2) * TCodec.Slot) * 8, lower = upper + 64 * TCodec.Slot;
                if (!TCodec.Aligned)
                {
                    upper += start0 + stage * TCodec.Units & 7;
                    lower += start1 + stage * TCodec.Units & 7;
                }
                if (TTiles.Value == 0) StageProduct.AccumulateRow<TCodec, TElement>(memory, places, upper, lower, stage, lane, sums);
                else StageProduct.Accumulate<TCodec, TElement, TTiles>(memory, places, args, upper, lower, stage, lane, sums);
                TensorOps.WarpSync();
                next = WeightRing.Ask<TCodec, TEpilogue>(memory, at, next, args, epilogue, lane, warp, warps, policy);
                slot = slot + 1 == TCodec.Stages ? 0 : slot + 1;
            }
            Reduce<TCodec, TTiles, TEpilogue>(memory.Cast<float>(), places, args, epilogue, tile, parity, sums);
            parity ^= 1;
        }
        TensorOps.WaitGroup(0);
    }

    // 1 for 0
    private static int Tiles<TTiles>() where TTiles : struct, IKernelCount => TTiles.Value + (1 >> TTiles.Value);

    // Sums the warps' results in order and hands them on. Two sets of results take turns, so that one barrier a tile is enough.
    private static void Reduce<TCodec, TTiles, TEpilogue>(ArrayView<float> memory, LinearMemory places, LinearArgs args, TEpilogue epilogue, int tile, int parity, F4[] sums)
        where TCodec : struct, ITileCodec
        where TTiles : struct, IKernelCount
        where TEpilogue : struct, ILinearEpilogue
    {
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, warps = Group.DimX >> 5;
        int columns = 4 * Tiles<TTiles>();
        int results = places.Results * 4 + parity * warps * TileRows * columns;
        int own = results + (warp * TileRows + (lane >> 2)) * columns + (lane & 3);
        for (int n = 0; n < TTiles.Slots; n++)
        {
            if (n < Tiles<TTiles>())
            {
                var sum = sums[n];
                // the fourth column of a row of three limbs is no limb
                bool both = TCodec.Limbs == 2 || (lane & 1) == 0;
                memory[own + 4 * n] = sum.X + (both ? sum.Y : 0f);
                memory[own + 8 * columns + 4 * n] = sum.Z + (both ? sum.W : 0f);
            }
        }
        Group.Barrier();
        // whole warps, because the two slots of a pair meet by a shuffle
        for (int i = Group.IdxX; i < (TileRows * args.Rows + 31 & ~31); i += Group.DimX)
        {
            int row = IntrinsicMath.Min(i >> 4, args.Rows - 1);
            int column = TCodec.Limbs == 2 ? row : 2 * row;
            int from = results + (i & 15) * columns + column;
            float total = 0f;
            for (int w = 0; w < warps; w++)
            {
                total += memory[from + w * TileRows * columns];
                if (TCodec.Limbs != 2 || TTiles.Value == 0) total += memory[from + w * TileRows * columns + 1];
                if (TTiles.Value == 0) total += memory[from + w * TileRows * columns + 2] + memory[from + w * TileRows * columns + 3];
            }
            total *= memory[places.Inverses * 4 + row];
            float partner = Warp.ShuffleXor(total, 8);
            if ((i & 8) == 0 && i >> 4 < args.Rows) epilogue.Finish(tile, i & 7, row, total, partner, epilogue.Ahead(tile, i & 7, row));
        }
    }
}
