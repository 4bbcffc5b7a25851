using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Asynchronous copies of weight stages into a warp's part of shared memory.</summary>
internal static class WeightRing
{
    /// <summary>Finds the rows of the cursor's tile.</summary>
    public static StageCursor Locate<TEpilogue>(StageCursor cursor, LinearArgs args, TEpilogue epilogue, int lane)
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Tile < args.Tiles) cursor.Start = epilogue.Row(cursor.Tile, lane & 15) * args.RowUnits;
        return cursor;
    }

    /// <summary>Starts the copies of the cursor's stage to <paramref name="at"/> and moves the cursor on. Always ends a group of copies.</summary>
    public static StageCursor Ask<TCodec, TEpilogue>(ArrayView<U4> memory, int at, StageCursor cursor, LinearArgs args, TEpilogue epilogue, int lane, int warp, int warps, ulong policy)
        where TCodec : struct, ITileCodec
        where TEpilogue : struct, ILinearEpilogue
    {
        if (cursor.Tile < args.Tiles)
        {
            for (int j = 0; j < LinearKernel.TileRows * TCodec.Chunks + 31 >> 5; j++)
            {
                int unit = lane + 32 * j;
                int row = IntrinsicMath.Min(unit / TCodec.Chunks, LinearKernel.TileRows - 1), column = unit - row * TCodec.Chunks;
                int start = Warp.Shuffle(cursor.Start, row) + cursor.Stage * TCodec.Units;
                int chunk = (start >> 3) + column;
                int matrix = epilogue.Matrix(cursor.Tile, row);
                long address = matrix == 0 ? args.Weight0 : matrix == 1 ? args.Weight1 : args.Weight2;
                int chunks = matrix == 0 ? args.Chunks0 : matrix == 1 ? args.Chunks1 : args.Chunks2;
                // rows that begin inside a unit take one more; the last stage of the last row may reach past the matrix
                bool wanted = chunk < chunks && (TCodec.Aligned || column * 8 < (start & 7) + TCodec.Units);
                if (32 * j + 31 < LinearKernel.TileRows * TCodec.Chunks || unit < LinearKernel.TileRows * TCodec.Chunks)
                    LinearOps.CopyOnce(ref memory[at + row * TCodec.Slot + column], address + IntrinsicMath.Min(chunk, chunks - 1) * 16L, wanted ? 16 : 0, policy);
            }
            cursor.Stage += warps;
            if (cursor.Stage >= args.RowStages)
            {
                cursor.Stage = warp;
                cursor.Tile += Grid.DimX;
                cursor = Locate(cursor, args, epilogue, lane);
            }
        }
        TensorOps.Commit();
        return cursor;
    }
}
