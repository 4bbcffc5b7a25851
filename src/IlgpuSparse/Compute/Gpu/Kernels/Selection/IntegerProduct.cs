using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Labels of 1, 2, 4 or 8 bits, multiplied exactly by integer tensor cores. The codes of a byte are not taken out one by one: the byte as it is, then without its lowest code, without its two lowest and so on, meet the
/// differences of the queries of neighbouring codes, each query as many times as its code is small in the byte, so that the sum is what the codes alone would give, times the place of the highest
/// (<see cref="Places"/>). That is one AND for all codes of a register but the first, and no shift. A query (times the quantiser steps) is a 24-bit integer and such a difference one of 32 bits: its upper two bytes are
/// the columns of one product, its lower two those of a second one. Floating-point tensor cores would take twice the instructions and cut addends off.
/// </summary>
internal readonly struct IntegerProduct<TBits> : ILabelProduct
    where TBits : struct, ILabelBits
{
    /// <summary>What the largest channel of a query becomes: less than 2^23, so that a difference (at most 192 of them, of 1-bit codes) is one of 32 bits.</summary>
    private const float Largest = 8_355_000f;

    // Bits below the highest code of a byte: sums of products are so many places too high.
    private static int Places => 8 - TBits.Bits;

    // One over LabelFormat.GaussianStep: the deviation of a channel in steps.
    private static float Deviation => TBits.Bits == 1 ? 1f / 1.5958f : TBits.Bits == 2 ? 1f / 0.9957f : TBits.Bits == 4 ? 1f / 0.3352f : 1f / 0.0308f;

    public static int Registers => 1 << TBits.ByteShift;

    public static int Parts => 2;

    public static int Beside => 1;

    public static bool Single => false;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
        => Prepare<TWords>(labels, score, set, queries, fragments, factors, summands, spreads, false, false);

    /// <summary>
    /// As <see cref="ILabelProduct.Prepare"/>; <paramref name="single"/> for <see cref="SingleProduct{TBits}"/>, <paramref name="narrow"/> as well for <see cref="NarrowProduct{TBits}"/>, whose lanes 2 and 3 hold another token's words than lanes 0
    /// and 1: what meets them are columns of their own.
    /// </summary>
    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads, bool single, bool narrow)
        where TWords : struct, IKernelCount
    {
        int warps = Group.DimX >> 5, lane = Group.IdxX & 31;
        for (int slot = Group.IdxX >> 5; slot < set.Tiles * ScoreKernel.TileHeads; slot += warps)
            Round(labels, score, set, slot, lane, queries, factors, summands, spreads);
        Group.Barrier();

        int products = (TWords.Value << TBits.ByteShift) + 1 >> 1, shiftOfUnit = single ? 5 : 6;
        for (int i = Group.IdxX; i < set.Tiles * products << shiftOfUnit; i += Group.DimX)
        {
            int unit = i >> shiftOfUnit, tile = set.Tiles == 1 ? 0 : unit / products, register = 2 * (unit - tile * products);
            int column = (i & 31) >> 2, word = i & 3;
            // the other token's words meet what words meet that the label does not have: zeros
            if (narrow) word = word >> 1 == column >> 2 ? word & 1 : labels.Words;
            int query = single ? 0 : (tile * ScoreKernel.TileHeads + (column >> 1)) * ScoreKernel.MaxChannels;
            // bytes 3 and 2, then 1 and 0
            int shift = single ? 24 - 8 * (column & 3) : ((i & 32) == 0 ? 24 : 8) - 8 * (column & 1);
            fragments[i] = new U2
            {
                X = Bytes(labels, queries, query, word + 4 * (register >> TBits.ByteShift), register & (1 << TBits.ByteShift) - 1, shift),
                // a word of eight-bit codes is half a product when it is a lane's only one
                Y = (TWords.Value << TBits.ByteShift) == 1
                    ? 0u : Bytes(labels, queries, query, word + 4 * (register + 1 >> TBits.ByteShift), register + 1 & (1 << TBits.ByteShift) - 1, shift),
            };
        }
        Group.Barrier();
    }

    public static void WriteOwn(LabelView labels, QuerySet set, ArrayView<float> keys, int headDim) => OwnLabel.Write<TBits>(labels, set, keys, headDim);

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        var p = Products<TWords>(words, first, query, false);
        F4 result;
        result.X = Score(Joined(p.Low.X, p.Low.Y), Joined(p.LowRest.X, p.LowRest.Y), factor);
        result.Y = Score(Joined(p.Low.Z, p.Low.W), Joined(p.LowRest.Z, p.LowRest.W), factor);
        result.Z = Score(Joined(p.High.X, p.High.Y), Joined(p.HighRest.X, p.HighRest.Y), factor);
        result.W = Score(Joined(p.High.Z, p.High.W), Joined(p.HighRest.Z, p.HighRest.W), factor);
        return result;
    }

    /// <summary>The sums of two bytes of a query: at most 128 channels of 255 times 128, no overflow.</summary>
    public static int Joined(int upper, int lower) => upper * 256 + lower;

    // The score of the sums of a query's upper and lower bytes.
    private static float Score(int upper, int lower, float factor) => upper * (65536f * factor) + lower * factor;

    /// <summary>Sums of products of a lane's words from <paramref name="first"/> on and the queries; of a <paramref name="single"/> query all four bytes are columns of one product, and there are no <see cref="IntegerProducts.LowRest"/> and <see cref="IntegerProducts.HighRest"/>.</summary>
    public static IntegerProducts Products<TWords>(U4[] words, int first, U2[] query, bool single)
        where TWords : struct, IKernelCount
    {
        var sums = new IntegerProducts();
        for (int m = 0; m < TWords.Slots << TBits.ByteShift; m++)
        {
            if (2 * m < TWords.Value << TBits.ByteShift)
            {
                int left = 2 * m & (1 << TBits.ByteShift) - 1, right = 2 * m + 1 & (1 << TBits.ByteShift) - 1;
                var a = words[first + (2 * m >> TBits.ByteShift)];
                var lowRows = new U4 { X = Codes(a.X, left), Y = Codes(a.Y, left) };
                var highRows = new U4 { X = Codes(a.Z, left), Y = Codes(a.W, left) };
                if (2 * m + 1 < TWords.Value << TBits.ByteShift)
                {
                    var b = words[first + (2 * m + 1 >> TBits.ByteShift)];
                    lowRows.Z = Codes(b.X, right);
                    lowRows.W = Codes(b.Y, right);
                    highRows.Z = Codes(b.Z, right);
                    highRows.W = Codes(b.W, right);
                }
                int part = single ? m : 2 * m;
                sums.Low = TensorCore.Multiply(lowRows, query[part], sums.Low);
                sums.High = TensorCore.Multiply(highRows, query[part], sums.High);
                if (!single)
                {
                    sums.LowRest = TensorCore.Multiply(lowRows, query[part + 1], sums.LowRest);
                    sums.HighRest = TensorCore.Multiply(highRows, query[part + 1], sums.HighRest);
                }
            }
        }
        return sums;
    }

    // One query a warp: its channels times the steps as integers, and what makes scores of the products.
    private static void Round(LabelView labels, ScoreView score, QuerySet set, int slot, int lane, ArrayView<float> queries, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
    {
        var value = set.Load(score, slot);
        float largest = QuerySet.Largest(value), norm = QuerySet.Norm(value);
        // a query of zeros, or of numbers too large to be scored, scores nothing
        float unit = largest > 1e-30f && largest < 1e30f ? Largest / largest : 0f;
        I4 rounded;
        rounded.X = TensorCore.Nearest(value.X * unit);
        rounded.Y = TensorCore.Nearest(value.Y * unit);
        rounded.Z = TensorCore.Nearest(value.Z * unit);
        rounded.W = TensorCore.Nearest(value.W * unit);
        int own = slot * ScoreKernel.MaxChannels + lane;
        queries[own] = Interop.IntAsFloat((uint)Difference(rounded.X, lane));
        queries[own + 32] = Interop.IntAsFloat((uint)Difference(rounded.Y, lane));
        queries[own + 64] = Interop.IntAsFloat((uint)Difference(rounded.Z, lane));
        queries[own + 96] = Interop.IntAsFloat((uint)Difference(rounded.W, lane));
        int sum = (int)GroupScan.WarpSum((uint)(rounded.X + rounded.Y + rounded.Z + rounded.W));
        if (lane == 0)
        {
            float factor = unit > 0f ? largest / Largest * score.Scale : 0f;
            factors[slot] = factor * (1f / (1 << Places));
            // a static step is a fixed part of its channel's deviation; of the others nothing is known here, and any spread will do
            spreads[slot] = norm * score.Scale * (labels.Static != 0 ? Deviation : 1f);
            summands[slot] = (labels.PerToken != 0 ? 1f : -0.5f * ((1 << TBits.Bits) - 1)) * sum * factor;
        }
    }

    // A byte (bits from `shift` on) of what meets each of the four bytes of a word without their lowest `place` codes.
    private static uint Bytes(LabelView labels, ArrayView<float> queries, int query, int word, int place, int shift)
    {
        // a word that the label does not have meets zeros
        int channel = query + Math.Min(word, labels.Words - 1) * 2 * TBits.Pairs + place;
        uint packed = Byte(queries[channel], shift)
            | Byte(queries[channel + (1 << TBits.ByteShift)], shift) << 8
            | Byte(queries[channel + (2 << TBits.ByteShift)], shift) << 16
            | Byte(queries[channel + (3 << TBits.ByteShift)], shift) << 24;
        return word < labels.Words ? packed : 0u;
    }

    // What the query of a lane's channel is above that of the code before it in the byte, each times the place of the byte's highest code over its own.
    private static int Difference(int query, int lane)
    {
        int place = lane & (1 << TBits.ByteShift) - 1, shift = Places - place * TBits.Bits, before = Warp.Shuffle(query, lane - 1 & 31);
        return (query << shift) - (place == 0 ? 0 : before << shift + TBits.Bits);
    }

    // The lower bytes count from -128 to 127, so each carries into the next what is from 128 on.
    private static uint Byte(float bits, int shift) => (uint)((int)Interop.FloatAsInt(bits) + (0x808080 & (1 << shift) - 1) >> shift) & 0xffu;

    private static uint Codes(uint word, int place) => place == 0 ? word : word & (0x01010101u * (0x100u - (1u << place * TBits.Bits)));
}
