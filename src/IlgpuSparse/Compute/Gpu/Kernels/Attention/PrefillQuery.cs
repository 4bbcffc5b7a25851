using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// The queries of a warp's 16 rows in <see cref="TensorPrefillKernel"/>, times the softmax scale, as the 16 by 16 operand of each 16 channels: in registers where they fit, in shared memory otherwise, and there with
/// what rounding leaves where that is multiplied too, behind the rounded ones of all warps.
/// </summary>
internal static class PrefillQuery
{
    /// <summary>16-byte units of dynamic shared memory.</summary>
    public static int SharedUnits(int channels, int warps, bool rest) => InRegisters(channels, rest) ? 0 : warps * (channels >> 4) * 32 * (rest ? 2 : 1);

    /// <summary>Loads: this lane has channels 2t, 2t + 1, 2t + 8, 2t + 9 of each 16 for rows g and g + 8. Rows past the end repeat the last one.</summary>
    public static void Load<TElement, THead, TTile, TRest>(ArrayView<U4> memory, int at, ArrayView<float> q, AttentionArgs args, int row, int head, int column, U4[] query)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile
        where TRest : struct, IOperandRest
    {
        var pairs = q.Cast<F2>();
        long from0 = ((long)IntrinsicMath.Min(row, args.Rows - 1) * args.Heads + head) * (THead.Channels >> 1) + (column >> 1);
        long from1 = ((long)IntrinsicMath.Min(row + 8, args.Rows - 1) * args.Heads + head) * (THead.Channels >> 1) + (column >> 1);
        for (int k = 0; k < THead.Channels >> 4; k++)
        {
            U4 rounded, rest;
            rounded.X = Round<TElement>(pairs[from0 + 8 * k], args.ScaleLog2, out rest.X);
            rounded.Y = Round<TElement>(pairs[from1 + 8 * k], args.ScaleLog2, out rest.Y);
            rounded.Z = Round<TElement>(pairs[from0 + 8 * k + 4], args.ScaleLog2, out rest.Z);
            rounded.W = Round<TElement>(pairs[from1 + 8 * k + 4], args.ScaleLog2, out rest.W);
            if (InRegisters(THead.Channels, TRest.Kept)) query[k] = rounded;
            else memory[at + 32 * k] = rounded;
            if (TRest.Kept) memory[at + 32 * ((THead.Channels >> 4 << TTile.WarpShift) + k)] = rest;
        }
    }

    /// <summary>The operand of channels 16k to 16k + 15.</summary>
    public static U4 Rounded<THead, TRest>(ArrayView<U4> memory, int at, U4[] query, int k)
        where THead : struct, IHeadSize
        where TRest : struct, IOperandRest => InRegisters(THead.Channels, TRest.Kept) ? query[k] : memory[at + 32 * k];

    /// <summary>What rounding left of <see cref="Rounded"/>, where that is kept.</summary>
    public static U4 Rest<THead, TTile>(ArrayView<U4> memory, int at, int k)
        where THead : struct, IHeadSize
        where TTile : struct, IPrefillTile => memory[at + 32 * ((THead.Channels >> 4 << TTile.WarpShift) + k)];

    private static bool InRegisters(int channels, bool rest) => channels <= 128 && !rest;

    private static uint Round<TElement>(F2 pair, float scale, out uint rest)
        where TElement : struct, ITensorElement
    {
        float x = pair.X * scale, y = pair.Y * scale;
        uint rounded = TElement.Pack(x, y);
        rest = TElement.Pack(x - TElement.Low(rounded), y - TElement.High(rounded));
        return rounded;
    }
}
