using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>
/// <see cref="TensorProductKernel"/> by the products of whole warpgroups (compute capability 9.0 alone): operands, ring and what follows the sums are the same, but the tensor cores read both operands from shared memory and go on by themselves, so that
/// nothing is loaded to registers between products.
/// </summary>
/// <remarks>
/// The products of a slice are started before those of the slice before have finished, so that a slot is free two slices later: of n slots n - 2 are being filled. A tile has one warp of 16 rows after the other along the rows and
/// <see cref="WarpgroupOps.Fragments"/> along the outputs, gated ones the first half of one matrix and the second half of the other.
/// </remarks>
internal static class WarpgroupProductKernel
{
    private const int RowBytes = TensorProductKernel.Depth * 2;

    /// <summary>Gated fragments that are stored at a time: with their scales and biases as many as find room beside the sums.</summary>
    private const int GatedRun = 4;

    /// <summary>Whether devices of this compute capability have the instructions: no other, later ones neither.</summary>
    public static bool IsKnownTo(int major, int minor) => (major, minor) == (9, 0);

    public static KernelVariant Variant(Type element, ProductTile tile, Type map, Type outputs) =>
        KernelVariant.Of(typeof(WarpgroupProductKernel), nameof(Run), 32 * tile.Warps, element, tile.Type, map, outputs) with
        {
            CudaOnly = true,
            DynamicSharedBytes = tile.SharedBytes,
            MinGroups = tile.Resident,
            HasWarpgroups = true,
        };

    /// <inheritdoc cref="TensorProductKernel.Run"/>
    public static void Run<TElement, TTile, TMap, TOutputs>(ProductWeights first, ProductWeights second, ArrayView<ushort> x, ArrayView<float> xScales, ArrayView<float> y, RowList list, TensorProductShape shape)
        where TElement : struct, ITensorElement
        where TTile : struct, IProductTile
        where TMap : struct, IRowMap
        where TOutputs : struct, IProductOutputs
    {
        WarpgroupOps.Declare();
        var memory = SharedMemory.GetDynamic<U4>();
        int count = TMap.Count(list, shape.Matrix.Rows);
        int rowTile = TensorProductKernel.RowTile(shape, out int outputTile), firstRow = rowTile * TensorProductKernel.TileRows<TTile>();
        int firstOutput = outputTile * (TOutputs.Gated ? TensorProductKernel.TileOutputs<TTile>() >> 1 : TensorProductKernel.TileOutputs<TTile>());
        if (firstRow < count)
        {
            int part = Group.IdxX >> 3, step = 4 << TTile.RowWarpShift;
            var from = new int[TensorProductKernel.TileRows<TTile>() / (4 << TTile.RowWarpShift)];
            for (int i = 0; i < TensorProductKernel.TileRows<TTile>() / (4 << TTile.RowWarpShift); i++)
                from[i] = TMap.Input(list, IntrinsicMath.Min(firstRow + part + step * i, count - 1));

            int slices = shape.Slices * shape.Passes;
            int begin = (int)((long)slices * Grid.IdxY / Grid.DimY), end = (int)((long)slices * (Grid.IdxY + 1) / Grid.DimY);
            int stage = (TensorProductKernel.TileRows<TTile>() + TensorProductKernel.TileOutputs<TTile>()) * RowBytes;
            for (int s = 0; s < TTile.Stages - 2; s++)
            {
                TensorProductKernel.Ask<TTile, TOutputs>(memory, s * stage, begin + s, end, first.Data, second.Data, x, from, firstOutput, shape);
                TensorOps.Commit();
            }
            int xAt = (Group.IdxX >> 7) * 64 * RowBytes, wAt = TensorProductKernel.TileRows<TTile>() * RowBytes;
            WarpgroupOps.Clear();
            int read = 0, write = (TTile.Stages - 2) * stage;
            for (int slice = begin; slice < end; slice++)
            {
                // this slice is there, and the products of the last but one have been waited for by all
                TensorOps.WaitGroup(TTile.Stages - 3);
                WarpgroupOps.ShowToProducts();
                Group.Barrier();
                TElement.MultiplySlice(ref memory[0], read + xAt, read + wAt);
                TensorProductKernel.Ask<TTile, TOutputs>(memory, write, slice + TTile.Stages - 2, end, first.Data, second.Data, x, from, firstOutput, shape);
                TensorOps.Commit();
                read = TensorProductKernel.Next(read, stage, TTile.Stages);
                write = TensorProductKernel.Next(write, stage, TTile.Stages);
                WarpgroupOps.WaitProducts(1);
            }
            WarpgroupOps.WaitProducts(0);
            int lane = Group.IdxX & 31, row = firstRow + 16 * (Group.IdxX >> 5) + (lane >> 2), output = firstOutput + 2 * (lane & 3);
            if (TOutputs.Gated) StoreGated<TMap>(y, first, second, xScales, list, shape, count, row, output);
            else Store<TMap>(y, first, xScales, list, shape, count, row, output);
        }
    }

    // A few fragments at a time: scales, biases and what is to be added have to find room beside the sums.
    private static void Store<TMap>(ArrayView<float> y, ProductWeights weights, ArrayView<float> xScales, RowList list, TensorProductShape shape, int count, int row, int output)
        where TMap : struct, IRowMap
    {
        for (int first = 0; first < WarpgroupOps.Fragments; first += ProductStore.Most)
        {
            var sum = new F4[ProductStore.Most];
            for (int j = 0; j < ProductStore.Most; j++) sum[j] = WarpgroupOps.Sum(first + j);
            F2[] factors = new F2[ProductStore.Most], biases = new F2[ProductStore.Most];
            ProductStore.Columns(weights, shape, output + 8 * first, ProductStore.Most, factors, biases);
            ProductStore.Plain<TMap>(y, xScales, list, shape, sum, 0, ProductStore.Most, ProductStore.Most, factors, biases, count, row, output + 8 * first);
        }
    }

    private static void StoreGated<TMap>(ArrayView<float> y, ProductWeights gate, ProductWeights up, ArrayView<float> xScales, RowList list, TensorProductShape shape, int count, int row, int output)
        where TMap : struct, IRowMap
    {
        for (int first = 0; first < WarpgroupOps.Fragments >> 1; first += GatedRun)
        {
            var sum = new F4[2 * GatedRun];
            for (int j = 0; j < GatedRun; j++)
            {
                sum[j] = WarpgroupOps.Sum(first + j);
                sum[GatedRun + j] = WarpgroupOps.Sum((WarpgroupOps.Fragments >> 1) + first + j);
            }
            F2[] gateFactors = new F2[ProductStore.Most], gateBiases = new F2[ProductStore.Most], upFactors = new F2[ProductStore.Most], upBiases = new F2[ProductStore.Most];
            ProductStore.Columns(gate, shape, output + 8 * first, GatedRun, gateFactors, gateBiases);
            ProductStore.Columns(up, shape, output + 8 * first, GatedRun, upFactors, upBiases);
            ProductStore.Gated<TMap>(y, xScales, list, shape, sum, 0, GatedRun, GatedRun, gateFactors, gateBiases, upFactors, upBiases, count, row, output + 8 * first);
        }
    }
}
