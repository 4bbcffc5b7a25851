using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Labels in half precision. Columns 2h and 2h + 1 are the upper and the lower 11 bits of query h, so that their sum is the product with 22 bits of the query, scaled by a power of two so that
/// its largest channel lies in [2^14, 2^15).
/// </summary>
internal readonly struct HalfProduct : ILabelProduct
{
    public static int Registers => 1;

    public static int Parts => 1;

    public static int Beside => 1;

    public static bool Single => false;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
    {
        int warps = Group.DimX >> 5, lane = Group.IdxX & 31;
        for (int slot = Group.IdxX >> 5; slot < set.Tiles * ScoreKernel.TileHeads; slot += warps) Scale(labels, score, set, slot, lane, queries, factors, summands, spreads);
        Group.Barrier();

        int products = TWords.Value >> 1;
        for (int i = Group.IdxX; i < set.Tiles * products * 32; i += Group.DimX)
        {
            int unit = i >> 5, tile = set.Tiles == 1 ? 0 : unit / products, product = unit - tile * products;
            int column = (i & 31) >> 2, word = i & 3;
            int query = (tile * ScoreKernel.TileHeads + (column >> 1)) * ScoreKernel.MaxChannels;
            fragments[i] = new U2
            {
                X = Pair(labels, queries, query, word + 8 * product, column & 1),
                Y = Pair(labels, queries, query, word + 8 * product + 4, column & 1),
            };
        }
        Group.Barrier();
    }

    public static void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim) => OwnLabel.Write<LabelBits.Half>(labels, set, keys, headDim);

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        var low = new F4();
        var high = new F4();
        for (int m = 0; m < TWords.Slots >> 1; m++)
        {
            var a = words[first + 2 * m];
            var b = words[first + 2 * m + 1];
            low = TensorOps.MultiplyHalf(new U4 { X = a.X, Y = a.Y, Z = b.X, W = b.Y }, query[m], low);
            high = TensorOps.MultiplyHalf(new U4 { X = a.Z, Y = a.W, Z = b.Z, W = b.W }, query[m], high);
        }
        F4 result;
        result.X = (low.X + low.Y) * factor;
        result.Y = (low.Z + low.W) * factor;
        result.Z = (high.X + high.Y) * factor;
        result.W = (high.Z + high.W) * factor;
        return result;
    }

    // One query a warp, scaled, with what makes scores of the products.
    private static void Scale(LabelView labels, ScoreView score, QuerySet set, int slot, int lane, ArrayView<float> queries, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
    {
        var value = set.Load(score, slot);
        float largest = QuerySet.Largest(value), norm = QuerySet.Norm(value);
        int exponent = (int)(Interop.FloatAsInt(largest) >> 23);
        float up = PowerOfTwo(141 - exponent), down = PowerOfTwo(exponent - 141);
        int own = slot * ScoreKernel.MaxChannels + lane;
        queries[own] = value.X * up;
        queries[own + 32] = value.Y * up;
        queries[own + 64] = value.Z * up;
        queries[own + 96] = value.W * up;
        if (lane == 0)
        {
            factors[slot] = down * score.Scale;
            summands[slot] = 0f;
            spreads[slot] = norm * score.Scale;
        }
    }

    private static float PowerOfTwo(int exponent) => Interop.IntAsFloat((uint)Math.Min(Math.Max(exponent + 127, 1), 254) << 23);

    // The two channels of a word, rounded (part 0) or what the rounding left (part 1).
    private static uint Pair(LabelView labels, ArrayView<float> queries, int query, int word, int part)
    {
        uint packed = 0;
        if (word < labels.Words) packed = Part(queries[query + 2 * word], part) | (Part(queries[query + 2 * word + 1], part) << 16);
        return packed;
    }

    private static uint Part(float x, int part)
    {
        uint upper = HalfBits.Round(x), lower = HalfBits.Round(x - Ptx.HalfLow(upper));
        return part == 0 ? upper : lower;
    }
}
