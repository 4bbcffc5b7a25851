using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>A tile size of <see cref="TensorProductKernel"/> or <see cref="WarpgroupProductKernel"/> as the launcher sees it.</summary>
/// <param name="Type">The <see cref="IProductTile"/>.</param>
/// <param name="Rows">Activation rows.</param>
/// <param name="Outputs">Outputs.</param>
/// <param name="Warps">Warps a group.</param>
/// <param name="Stages">Slices in shared memory.</param>
/// <param name="Resident">Groups that fit on a multiprocessor.</param>
/// <param name="Rate">Speed of a multiprocessor full of such groups, relative to that of <see cref="WideTile"/>.</param>
/// <param name="Warpgroups">Whether it is one of <see cref="WarpgroupProductKernel"/>.</param>
internal sealed record ProductTile(Type Type, int Rows, int Outputs, int Warps, int Stages, int Resident, double Rate, bool Warpgroups)
{
    /// <summary>The tile of <typeparamref name="T"/>.</summary>
    public static ProductTile Of<T>(int resident, double rate, bool warpgroups = false) where T : struct, IProductTile => new(typeof(T),
        TensorProductKernel.TileRows<T>(), TensorProductKernel.TileOutputs<T>(), 1 << (T.RowWarpShift + T.OutputWarpShift), T.Stages, resident, rate, warpgroups);

    /// <summary>The tiles there are.</summary>
    public static IReadOnlyList<ProductTile> All { get; } = [Of<WarpgroupTile>(1, 1.6, warpgroups: true), Of<WideTile>(1, 1.0), Of<SquareTile>(2, 0.95), Of<SmallTile>(4, 0.6), Of<SlimTile>(2, 0.55)];

    /// <summary>Those that <paramref name="device"/> can run.</summary>
    public static IReadOnlyList<ProductTile> On(GpuDevice device) =>
        [.. All.Where(tile => 32 * tile.Warps <= device.MaxGroupSize && (!device.IsCuda || tile.SharedBytes <= device.MaxSharedBytes) && (!tile.Warpgroups || HasWarpgroups(device)))];

    /// <summary>Fewest slices a split.</summary>
    private const int MinSlices = 8;

    /// <summary>The kernel of this tile.</summary>
    public KernelVariant Variant(Type element, Type map, Type outputs) =>
        Warpgroups ? WarpgroupProductKernel.Variant(element, this, map, outputs) : TensorProductKernel.Variant(element, this, map, outputs);

    /// <summary>Dynamic shared memory in bytes.</summary>
    public int SharedBytes => Stages * (Rows + Outputs) * TensorProductKernel.Depth * 2;

    /// <summary>
    /// The tile of <paramref name="tiles"/> that computes <paramref name="rows"/> × <paramref name="outputs"/> soonest on <paramref name="multiprocessors"/>, and over how many groups the
    /// inputs (<paramref name="slices"/> of <see cref="TensorProductKernel.Depth"/>) are split, which is worth it where tiles alone leave multiprocessors idle.
    /// </summary>
    public static (ProductTile Tile, int Splits) Choose(IEnumerable<ProductTile> tiles, int rows, int outputs, int slices, int multiprocessors, int maxSplits)
    {
        // In units of one number's product with one slice at a multiprocessor's full speed: what the busiest multiprocessor computes, and what writing and reading a split's sums costs.
        const double splitCost = 1.0, alone = 0.6; // a single group of several that fit takes this share of the time of all
        (ProductTile Tile, int Splits)? best = null;
        double bestTime = double.MaxValue;
        foreach (var tile in tiles)
        {
            long groups = (long)Groups(rows, tile.Rows) * Groups(outputs, tile.Outputs), fill = (long)multiprocessors * tile.Resident;
            for (int splits = 1; splits <= maxSplits && (splits == 1 || splits * MinSlices <= slices); splits *= 2)
            {
                long left = groups * splits % fill;
                double work = groups * splits / fill * tile.Resident + (left == 0 ? 0 : Math.Max(alone * tile.Resident, (left + multiprocessors - 1) / multiprocessors));
                double time = work * tile.Rows * tile.Outputs * Groups(slices, splits) / tile.Rate + (splits > 1 ? splitCost * splits * rows * outputs / multiprocessors : 0);
                if (time >= bestTime) continue;
                best = (tile, splits);
                bestTime = time;
            }
        }
        return best ?? throw new ArgumentException("no tile to choose from", nameof(tiles));
    }

    private static bool HasWarpgroups(GpuDevice device) => device.Accelerator is CudaAccelerator { Architecture: { Major: var major, Minor: var minor } } && WarpgroupProductKernel.IsKnownTo(major, minor);

    private static int Groups(int total, int each) => (total + each - 1) / each;
}
