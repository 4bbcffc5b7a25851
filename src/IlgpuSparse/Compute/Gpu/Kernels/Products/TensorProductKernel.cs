using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// y = x · Wᵀ on tensor cores (CUDA): 16-bit operands, fp32 sums. A group computes a tile; slices of 64 inputs of its rows of x and W travel through a ring in shared memory
/// (<c>cp.async</c>), and each warp loads the fragments of the next 16 inputs while it multiplies the ones before.
/// </summary>
/// <remarks>
/// A row's slice is 128 bytes of shared memory, eight units of 16; unit u of row r lies at u ⊕ (r mod 8), so that the eight rows which one matrix load reads lie in different banks.
/// With <see cref="GatedOutputs"/> each warp's fragments are half of one matrix and half of the other, so that both numbers of an output meet in one lane.
/// Operands of more than 16 bits come as planes, a rounded number and the rest that rounding left: the ring then runs over the inputs once for each pair of planes that matters.
/// </remarks>
internal static class TensorProductKernel
{
    /// <summary>Inputs a slice.</summary>
    public const int Depth = 64;

    /// <summary>Row tiles that are gone through side by side for each tile of outputs, so that what is in the L2 cache is used again.</summary>
    private const int Band = 8;

    private const int RowBytes = Depth * 2;

    public static KernelVariant Variant(Type element, ProductTile tile, Type map, Type outputs) =>
        KernelVariant.Of(typeof(TensorProductKernel), nameof(Run), 32 * tile.Warps, element, tile.Type, map, outputs) with
        {
            CudaOnly = true,
            DynamicSharedBytes = tile.SharedBytes,
            MinGroups = tile.Resident,
        };

    public static IEnumerable<KernelVariant> Variants =>
        from element in TensorElements.All
        from tile in ProductTile.All
        from form in new[]
        {
            (typeof(AllRows), typeof(PlainOutputs)), (typeof(AllRows), typeof(GatedOutputs)), // a layer's projections
            (typeof(GatherRows), typeof(GatedOutputs)), (typeof(ScatterRows), typeof(PlainOutputs)), // an expert's
        }
        select tile.Variant(element, form.Item1, form.Item2);

    /// <summary>Activation rows of a tile.</summary>
    public static int TileRows<TTile>() where TTile : struct, IProductTile => (16 * TTile.RowFragments) << TTile.RowWarpShift;

    /// <summary>Outputs of a tile.</summary>
    public static int TileOutputs<TTile>() where TTile : struct, IProductTile => (8 * TTile.OutputFragments) << TTile.OutputWarpShift;

    /// <summary>
    /// Grid (tiles, splits). <paramref name="x"/> is <c>[plane, row, input]</c>; <paramref name="second"/> is only read for gated outputs. With one split <paramref name="y"/> is the result,
    /// else it is <c>[split, row, output]</c> for <see cref="SplitSumKernel"/>.
    /// </summary>
    public static void Run<TElement, TTile, TMap, TOutputs>(ProductWeights first, ProductWeights second, ArrayView<ushort> x, ArrayView<float> xScales, ArrayView<float> y, RowList list, TensorProductShape shape)
        where TElement : struct, ITensorElement
        where TTile : struct, IProductTile
        where TMap : struct, IRowMap
        where TOutputs : struct, IProductOutputs
    {
        var memory = SharedMemory.GetDynamic<U4>();
        int count = TMap.Count(list, shape.Matrix.Rows);
        int rowTile = RowTile(shape, out int outputTile), firstRow = rowTile * TileRows<TTile>(), firstOutput = outputTile * (TOutputs.Gated ? TileOutputs<TTile>() >> 1 : TileOutputs<TTile>());
        if (firstRow < count)
        {
            // lane l of eight copies unit l of a row; rows of a thread are a multiple of eight apart
            int part = Group.IdxX >> 3, step = 4 << (TTile.RowWarpShift + TTile.OutputWarpShift);
            var from = new int[TileRows<TTile>() / (4 << (TTile.RowWarpShift + TTile.OutputWarpShift))];
            for (int i = 0; i < TileRows<TTile>() / (4 << (TTile.RowWarpShift + TTile.OutputWarpShift)); i++)
                from[i] = TMap.Input(list, IntrinsicMath.Min(firstRow + part + step * i, count - 1));

            int slices = shape.Slices * shape.Passes;
            int begin = (int)((long)slices * Grid.IdxY / Grid.DimY), end = (int)((long)slices * (Grid.IdxY + 1) / Grid.DimY);
            int stage = (TileRows<TTile>() + TileOutputs<TTile>()) * RowBytes;
            for (int s = 0; s < TTile.Stages - 1; s++)
            {
                Ask<TTile, TOutputs>(memory, s * stage, begin + s, end, first.Data, second.Data, x, from, firstOutput, shape);
                TensorOps.Commit();
            }

            int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
            int warpRow = (warp & ((1 << TTile.RowWarpShift) - 1)) * 16 * TTile.RowFragments, warpOutput = (warp >> TTile.RowWarpShift) * 8 * TTile.OutputFragments;
            // where this lane's rows of the matrix loads begin, for inputs 0 to 15 of a slice; for 16k onwards the unit differs in the bits of 2k
            int xAt = (warpRow + (lane & 15)) * RowBytes + (((lane >> 4) ^ (lane & 7)) << 4);
            int wAt = (TileRows<TTile>() + warpOutput + (lane & 7) + ((lane >> 4) << 3)) * RowBytes + ((((lane >> 3) & 1) ^ (lane & 7)) << 4);
            var sum = new F4[TTile.RowFragments * TTile.OutputFragments];
            U4[] a0 = new U4[TTile.RowFragments], a1 = new U4[TTile.RowFragments];
            U4[] b0 = new U4[TTile.OutputFragments >> 1], b1 = new U4[TTile.OutputFragments >> 1];
            int read = 0, write = (TTile.Stages - 1) * stage;
            TensorOps.WaitGroup(TTile.Stages - 2);
            Group.Barrier();
            Load<TTile>(memory, xAt, wAt, a0, b0);
            for (int slice = begin; slice < end; slice++)
            {
                Load<TTile>(memory, read + (xAt ^ 32), read + (wAt ^ 32), a1, b1);
                Ask<TTile, TOutputs>(memory, write, slice + TTile.Stages - 1, end, first.Data, second.Data, x, from, firstOutput, shape);
                TensorOps.Commit();
                Multiply<TElement, TTile>(a0, b0, sum);
                Load<TTile>(memory, read + (xAt ^ 64), read + (wAt ^ 64), a0, b0);
                Multiply<TElement, TTile>(a1, b1, sum);
                Load<TTile>(memory, read + (xAt ^ 96), read + (wAt ^ 96), a1, b1);
                Multiply<TElement, TTile>(a0, b0, sum);
                // the next slice is there, and the slot that is written next has been read by all
                TensorOps.WaitGroup(TTile.Stages - 2);
                Group.Barrier();
                read = Next(read, stage, TTile.Stages);
                write = Next(write, stage, TTile.Stages);
                Load<TTile>(memory, read + xAt, read + wAt, a0, b0);
                Multiply<TElement, TTile>(a1, b1, sum);
            }
            int row = firstRow + warpRow + (lane >> 2), output = firstOutput + (TOutputs.Gated ? warpOutput >> 1 : warpOutput) + 2 * (lane & 3);
            if (TOutputs.Gated)
            {
                F2[] gateFactors = new F2[ProductStore.Most], gateBiases = new F2[ProductStore.Most], upFactors = new F2[ProductStore.Most], upBiases = new F2[ProductStore.Most];
                ProductStore.Columns(first, shape, output, TTile.OutputFragments >> 1, gateFactors, gateBiases);
                ProductStore.Columns(second, shape, output, TTile.OutputFragments >> 1, upFactors, upBiases);
                for (int i = 0; i < TTile.RowFragments; i++)
                {
                    int gate = i * TTile.OutputFragments, up = gate + (TTile.OutputFragments >> 1);
                    ProductStore.Gated<TMap>(y, xScales, list, shape, sum, gate, up, TTile.OutputFragments >> 1, gateFactors, gateBiases, upFactors, upBiases, count, row + 16 * i, output);
                }
            }
            else
            {
                F2[] factors = new F2[ProductStore.Most], biases = new F2[ProductStore.Most];
                ProductStore.Columns(first, shape, output, TTile.OutputFragments, factors, biases);
                for (int i = 0; i < TTile.RowFragments; i++)
                    ProductStore.Plain<TMap>(y, xScales, list, shape, sum, i * TTile.OutputFragments, TTile.OutputFragments, 4, factors, biases, count, row + 16 * i, output);
            }
        }
    }

    /// <summary>The group's tile along the rows and along the outputs.</summary>
    public static int RowTile(TensorProductShape shape, out int outputTile)
    {
        int bandTiles = Band * shape.OutputTiles, band = Grid.IdxX / bandTiles, inBand = Grid.IdxX - band * bandTiles;
        int bandRows = IntrinsicMath.Min(Band, shape.RowTiles - band * Band);
        outputTile = inBand / bandRows;
        return band * Band + inBand - outputTile * bandRows;
    }

    // All ones if a is less than b, else zero: without a branch, which would part the loop's loads and products.
    private static int Less(int a, int b) => (a - b) >> 31;

    /// <summary>The slot after the one at byte <paramref name="at"/>, round the ring.</summary>
    public static int Next(int at, int stage, int stages) => (at + stage) & Less(at, (stages - 1) * stage);

    /// <summary>Starts the copies of a slice of x and W; zeros past the last input and the last slice. Rows and outputs past the end repeat the last one: nobody stores what comes of them.</summary>
    public static void Ask<TTile, TOutputs>(
        ArrayView<U4> memory, int at, int slice, int end, ArrayView<ushort> first, ArrayView<ushort> second, ArrayView<ushort> x, int[] from, int firstOutput, TensorProductShape shape)
        where TTile : struct, IProductTile
        where TOutputs : struct, IProductOutputs
    {
        int bytes = 16 & Less(slice, end);
        slice = IntrinsicMath.Min(slice, end - 1);
        int pass = -Less(shape.Slices - 1, slice) - Less(2 * shape.Slices - 1, slice); // there are at most three
        int unit = (slice - pass * shape.Slices) * (Depth >> 3) + (Group.IdxX & 7);
        bytes &= Less(unit, shape.Units);
        unit = IntrinsicMath.Min(unit, shape.Units - 1);
        int xMask = Less(pass, shape.XPlanes);
        long xBase = (long)(pass & xMask) * shape.XRows * shape.Units + unit, wBase = (long)(1 + xMask) * shape.Matrix.Outputs * shape.Units + unit;
        var xUnits = x.Cast<U4>();
        var firstUnits = first.Cast<U4>();
        var secondUnits = second.Cast<U4>();
        int part = Group.IdxX >> 3, step = 4 << (TTile.RowWarpShift + TTile.OutputWarpShift);
        int target = at + part * RowBytes + (((Group.IdxX & 7) ^ (part & 7)) << 4);
        for (int i = 0; i < TileRows<TTile>() / (4 << (TTile.RowWarpShift + TTile.OutputWarpShift)); i++)
            TensorOps.CopyAsync(ref memory[0], target + i * step * RowBytes, ref xUnits[xBase + (long)from[i] * shape.Units], bytes);
        for (int i = 0; i < TileOutputs<TTile>() / (4 << (TTile.RowWarpShift + TTile.OutputWarpShift)); i++)
        {
            // rows of the second matrix follow those of the first for every warp's outputs
            int pair = 4 * TTile.OutputFragments, local = TOutputs.Gated ? i * step / (2 * pair) * pair + (i * step & (pair - 1)) : i * step;
            long source = wBase + (long)IntrinsicMath.Min(firstOutput + part + local, shape.Matrix.Outputs - 1) * shape.Units;
            if (TOutputs.Gated && (i * step & pair) != 0) TensorOps.CopyAsync(ref memory[0], target + (TileRows<TTile>() + i * step) * RowBytes, ref secondUnits[source], bytes);
            else TensorOps.CopyAsync(ref memory[0], target + (TileRows<TTile>() + i * step) * RowBytes, ref firstUnits[source], bytes);
        }
    }

    // The fragments of 16 inputs: of x 16 rows a load, of W 16 outputs.
    private static void Load<TTile>(ArrayView<U4> memory, int xAt, int wAt, U4[] a, U4[] b)
        where TTile : struct, IProductTile
    {
        for (int i = 0; i < TTile.RowFragments; i++) a[i] = TensorOps.LoadMatrix(ref memory[0], xAt + 16 * RowBytes * i);
        for (int j = 0; j < TTile.OutputFragments >> 1; j++) b[j] = TensorOps.LoadMatrix(ref memory[0], wAt + 16 * RowBytes * j);
    }

    private static void Multiply<TElement, TTile>(U4[] a, U4[] b, F4[] sum)
        where TElement : struct, ITensorElement
        where TTile : struct, IProductTile
    {
        for (int i = 0; i < TTile.RowFragments; i++)
        {
            for (int j = 0; j < TTile.OutputFragments >> 1; j++)
            {
                U2 low, high;
                low.X = b[j].X;
                low.Y = b[j].Y;
                high.X = b[j].Z;
                high.Y = b[j].W;
                int at = i * TTile.OutputFragments + 2 * j;
                sum[at] = TElement.Multiply(a[i], low, sum[at]);
                sum[at + 1] = TElement.Multiply(a[i], high, sum[at + 1]);
            }
        }
    }
}
