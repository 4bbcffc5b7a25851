using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Copies rows of K and V from one store to another: new tokens to pinned host memory, and rows between it and what is kept on the device. A group has one row of one kv head.</summary>
internal static class CopyRowsKernel
{
    public const int GroupSize = 64;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>Grid (rows, kv heads). Rows that lie in a block that one of the stores has not are left out. The first group moves the clock of the layer's hot rows on, which nothing reads meanwhile.</summary>
    public static void Run(RowStore source, RowStore target, ArrayView<int> positions, ArrayView<int> clocks, CopyRowsArgs args)
    {
        int row = args.PerRow != 0 ? Grid.IdxX : args.TableRow, kvHead = Grid.IdxY;
        int position = args.PerRow != 0 ? positions[row] : args.First + Grid.IdxX;
        int at = row * args.MaxBlocks + (position >> KvLayer.BlockShift), token = position & (KvLayer.BlockTokens - 1);
        int from = source.Blocks[at], to = target.Blocks[at];
        if ((from | to) >= 0)
        {
            long fromRow = ((long)(from * args.KvHeads + kvHead) << KvLayer.BlockShift) + token, toRow = ((long)(to * args.KvHeads + kvHead) << KvLayer.BlockShift) + token;
            long rowBytes = (long)args.Units * RowOps.UnitBytes;
            for (int unit = Group.IdxX; unit < args.Units; unit += Group.DimX)
            {
                long offset = (long)unit * RowOps.UnitBytes;
                var k = RowOps.Load(source.K + fromRow * rowBytes + offset);
                var v = RowOps.Load(source.V + fromRow * rowBytes + offset);
                RowOps.Store(target.K + toRow * rowBytes + offset, k);
                RowOps.Store(target.V + toRow * rowBytes + offset, v);
            }
            if (args.Scaled != 0 && Group.IdxX == 0)
            {
                target.KScales[toRow] = source.KScales[fromRow];
                target.VScales[toRow] = source.VScales[fromRow];
            }
        }
        if (args.Clock >= 0 && Grid.IdxX + kvHead + Group.IdxX == 0) clocks[args.Clock] = clocks[args.Clock] + 1;
    }
}
