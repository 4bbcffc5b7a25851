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
        if (cursor.Tile < args.Tiles)
        {
            cursor.Start = epilogue.Row(cursor.Tile, lane & 15) * args.RowUnits + args.FirstUnit;
            int upper = epilogue.Matrix(cursor.Tile, 0), lower = epilogue.Matrix(cursor.Tile, 8);
            cursor.Address = Address(args, upper);
            cursor.AddressStep = Address(args, lower) - cursor.Address;
            cursor.Last = Last(args, upper);
            cursor.LastStep = Last(args, lower) - cursor.Last;
        }
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
                // the quotient of small numbers, without a division
                int row = IntrinsicMath.Min(unit * (65536 / TCodec.Chunks + 1) >> 16, LinearKernel.TileRows - 1), column = unit - row * TCodec.Chunks;
                int start = Warp.Shuffle(cursor.Start, row) + cursor.Stage * TCodec.Units;
                int chunk = (start >> 3) + column, lower = -(row >> 3);
                int last = cursor.Last + (cursor.LastStep & lower);
                // masks instead of conditions, which ILGPU would make branches of: the last stage of the last row may reach past the matrix, and rows that begin inside a unit take one more
                int wanted = ~(last - chunk >> 31);
                if (!TCodec.Aligned) wanted &= column * 8 - (start & 7) - TCodec.Units >> 31;
                long source = cursor.Address + (cursor.AddressStep & lower) + IntrinsicMath.Min(chunk, last) * 16L;
                if (32 * j + 31 < LinearKernel.TileRows * TCodec.Chunks || unit < LinearKernel.TileRows * TCodec.Chunks)
                    LinearOps.CopyOnce(ref memory[at + row * TCodec.Slot + column], source, 16 & wanted, policy);
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

    /// <summary>The device address of matrix 0, 1 or 2.</summary>
    public static long Address(LinearArgs args, int matrix) => matrix == 0 ? args.Weight0 : matrix == 1 ? args.Weight1 : args.Weight2;

    private static int Last(LinearArgs args, int matrix) => (matrix == 0 ? args.Chunks0 : matrix == 1 ? args.Chunks1 : args.Chunks2) - 1;
}
