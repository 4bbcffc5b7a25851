using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The products of a stage of 16 weight rows with the activations.</summary>
internal static class StageProduct
{
    /// <summary>
    /// Adds the stage to <paramref name="sums"/>: of slot g = lane / 4 in X and Y, of slot g + 8 in Z and W, for limb columns 2t and 2t + 1 with t = lane mod 4. Where runs are scaled, X and Z
    /// have the sums of both. <paramref name="upper"/> and <paramref name="lower"/> are where the lane's rows begin in shared memory, in units of two bytes.
    /// </summary>
    public static void Accumulate<TCodec, TElement, TTiles>(ArrayView<U4> memory, LinearMemory places, LinearArgs args, int upper, int lower, int stage, int lane, F4[] sums)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
        where TTiles : struct, IKernelCount
    {
        int g = lane >> 2, t = lane & 3;
        F4 upperScales = default, lowerScales = default;
        if (TCodec.Scaled)
        {
            upperScales = TCodec.Scales(memory, upper, t);
            lowerScales = TCodec.Scales(memory, lower, t);
        }
        // this lane's column of each tile of activations; columns that are none repeat the last
        var column = new int[TTiles.Slots];
        var sumAt = new int[TTiles.Slots];
        for (int n = 0; n < TTiles.Slots; n++)
        {
            if (n < TTiles.Value)
            {
                int row = TCodec.Limbs == 2 ? 4 * n + (g >> 1) : 2 * n + (g >> 2);
                int limb = TCodec.Limbs == 2 ? g & 1 : IntrinsicMath.Min(g & 3, 2);
                column[n] = places.X + (IntrinsicMath.Min(row, args.Rows - 1) * TCodec.Limbs + limb) * places.Stride + stage * TCodec.Runs * 4 + t;
                if (TCodec.HasOffsets) sumAt[n] = places.Sums * 4 + (IntrinsicMath.Min(4 * n + t, args.Rows - 1) * args.RowStages + stage) * TCodec.Runs;
            }
        }
        var totals = memory.Cast<float>();
        for (int run = 0; run < TCodec.Runs; run++)
        {
            var a = TCodec.Numbers(memory, upper, run, t);
            var b = TCodec.Numbers(memory, lower, run, t);
            var first = new U4 { X = a.X, Y = b.X, Z = a.Y, W = b.Y };
            var second = new U4 { X = a.Z, Y = b.Z, Z = a.W, W = b.W };
            float upperScale = 1f, lowerScale = 1f, upperOther = 0f, lowerOther = 0f;
            if (TCodec.Scaled)
            {
                int source = (lane & 28) + (run >> 1);
                upperScale = Warp.Shuffle((run & 1) == 0 ? upperScales.X : upperScales.Z, source);
                lowerScale = Warp.Shuffle((run & 1) == 0 ? lowerScales.X : lowerScales.Z, source);
                if (TCodec.HalfRunScales || TCodec.HasOffsets)
                {
                    upperOther = Warp.Shuffle((run & 1) == 0 ? upperScales.Y : upperScales.W, source);
                    lowerOther = Warp.Shuffle((run & 1) == 0 ? lowerScales.Y : lowerScales.W, source);
                }
            }
            for (int n = 0; n < TTiles.Slots; n++)
            {
                if (n < TTiles.Value)
                {
                    var x = memory[column[n] + run * 4];
                    var x0 = new U2 { X = x.X, Y = x.Y };
                    var x1 = new U2 { X = x.Z, Y = x.W };
                    var sum = sums[n];
                    if (!TCodec.Scaled)
                    {
                        sum = TElement.Multiply(first, x0, sum);
                        sum = TElement.Multiply(second, x1, sum);
                    }
                    else
                    {
                        var product = TElement.Multiply(first, x0, default);
                        if (TCodec.HalfRunScales)
                        {
                            var rest = TElement.Multiply(second, x1, default);
                            sum.X += upperScale * (product.X + product.Y) + upperOther * (rest.X + rest.Y);
                            sum.Z += lowerScale * (product.Z + product.W) + lowerOther * (rest.Z + rest.W);
                        }
                        else
                        {
                            product = TElement.Multiply(second, x1, product);
                            sum.X += upperScale * (product.X + product.Y);
                            sum.Z += lowerScale * (product.Z + product.W);
                            if (TCodec.HasOffsets)
                            {
                                float total = totals[sumAt[n] + run];
                                sum.X += upperOther * total;
                                sum.Z += lowerOther * total;
                            }
                        }
                    }
                    sums[n] = sum;
                }
            }
        }
    }
}
