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
                if (TCodec.HalfRunScales)
                {
                    int source = (lane & 28) + (2 * run & 3);
                    upperScale = Warp.Shuffle(Part(upperScales, run >> 1), source);
                    lowerScale = Warp.Shuffle(Part(lowerScales, run >> 1), source);
                    upperOther = Warp.Shuffle(Part(upperScales, run >> 1), source + 1);
                    lowerOther = Warp.Shuffle(Part(lowerScales, run >> 1), source + 1);
                }
                else
                {
                    int source = (lane & 28) + (run & 3);
                    upperScale = Warp.Shuffle(Part(upperScales, run >> 2 << 1), source);
                    lowerScale = Warp.Shuffle(Part(lowerScales, run >> 2 << 1), source);
                    if (TCodec.HasOffsets)
                    {
                        upperOther = Warp.Shuffle(Part(upperScales, (run >> 2 << 1) + 1), source);
                        lowerOther = Warp.Shuffle(Part(lowerScales, (run >> 2 << 1) + 1), source);
                    }
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

    /// <summary>
    /// As <see cref="Accumulate"/> for a single activation row of a scaled format. The eight columns are four runs (or half runs) of two limbs: a column is zero but for its own run, so that four runs
    /// can follow one another through the same sums, and lane t ends with those of run t, whose scale it has read itself.
    /// </summary>
    public static void AccumulateRow<TCodec, TElement>(ArrayView<U4> memory, LinearMemory places, int upper, int lower, int stage, int lane, F4[] sums)
        where TCodec : struct, ITileCodec
        where TElement : struct, ITensorElement
    {
        int g = lane >> 2, t = lane & 3;
        var upperScales = TCodec.Scales(memory, upper, t);
        var lowerScales = TCodec.Scales(memory, lower, t);
        // from the unit of zeros to this lane's column; all ones for the runs that are its own
        int column = places.X + (g & 1) * places.Stride + stage * TCodec.Runs * 4 + t - places.Zero;
        var own = new int[4];
        for (int i = 0; i < 4; i++) own[i] = ((g >> 1 ^ i) - 1) >> 31;
        var totals = memory.Cast<float>();
        var pairs = memory.Cast<U2>();
        var sum = sums[0];
        F4 product = default;
        for (int run = 0; run < TCodec.Runs; run++)
        {
            var a = TCodec.Numbers(memory, upper, run, t);
            var b = TCodec.Numbers(memory, lower, run, t);
            var first = new U4 { X = a.X, Y = b.X, Z = a.Y, W = b.Y };
            var second = new U4 { X = a.Z, Y = b.Z, Z = a.W, W = b.W };
            if (TCodec.HalfRunScales)
            {
                var x0 = pairs[2 * (places.Zero + (column + run * 4 & own[2 * run & 3]))];
                var x1 = pairs[2 * (places.Zero + (column + run * 4 & own[2 * run + 1 & 3])) + 1];
                product = (run & 1) == 0 ? TElement.Multiply(first, x0, default) : TElement.Multiply(first, x0, product);
                product = TElement.Multiply(second, x1, product);
                if ((run & 1) == 1)
                {
                    sum.X += Part(upperScales, run >> 1) * (product.X + product.Y);
                    sum.Z += Part(lowerScales, run >> 1) * (product.Z + product.W);
                }
            }
            else
            {
                var x = memory[places.Zero + (column + run * 4 & own[run & 3])];
                var x0 = new U2 { X = x.X, Y = x.Y };
                var x1 = new U2 { X = x.Z, Y = x.W };
                product = (run & 3) == 0 ? TElement.Multiply(first, x0, default) : TElement.Multiply(first, x0, product);
                product = TElement.Multiply(second, x1, product);
                if ((run & 3) == 3)
                {
                    sum.X += Part(upperScales, run >> 2 << 1) * (product.X + product.Y);
                    sum.Z += Part(lowerScales, run >> 2 << 1) * (product.Z + product.W);
                    if (TCodec.HasOffsets)
                    {
                        float total = totals[places.Sums * 4 + stage * TCodec.Runs + (run & 4) + t];
                        sum.X += Part(upperScales, (run >> 2 << 1) + 1) * total;
                        sum.Z += Part(lowerScales, (run >> 2 << 1) + 1) * total;
                    }
                }
            }
        }
        sums[0] = sum;
    }

    // A constant index, once loops are unrolled.
    private static float Part(F4 value, int index) => index == 0 ? value.X : index == 1 ? value.Y : index == 2 ? value.Z : value.W;
}
