using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Labels of 1, 2, 4 or 8 bits: codes spread into the bytes of a register by one AND (and a shift for all but the first), multiplied exactly by integer tensor cores. A query (times the
/// quantiser steps) is a 24-bit integer: its upper two bytes are the columns of one product, its lowest byte is a column of a second one. Floating-point tensor cores would take twice the
/// instructions and cut addends off.
/// </summary>
internal readonly struct IntegerProduct<TBits> : ILabelProduct
    where TBits : struct, ILabelBits
{
    /// <summary>What the largest channel of a query becomes: a little less than 127 in each byte, so that rounding cannot carry its upper byte to 128.</summary>
    private const float Largest = 8_355_000f;

    // One over LabelFormat.GaussianStep: the deviation of a channel in steps.
    private static float Deviation => TBits.Bits == 1 ? 1f / 1.5958f : TBits.Bits == 2 ? 1f / 0.9957f : TBits.Bits == 4 ? 1f / 0.3352f : 1f / 0.0308f;

    public static int Registers => 1 << TBits.ByteShift;

    public static int Parts => 2;

    public static void Prepare<TWords>(LabelView labels, ScoreView score, QuerySet set, ArrayView<float> queries, ArrayView<U2> fragments, ArrayView<float> factors, ArrayView<float> summands, ArrayView<float> spreads)
        where TWords : struct, IKernelCount
    {
        int warps = Group.DimX >> 5, lane = Group.IdxX & 31;
        for (int slot = Group.IdxX >> 5; slot < set.Tiles * ScoreKernel.TileHeads; slot += warps)
            Round(labels, score, set, slot, lane, queries, factors, summands, spreads);
        Group.Barrier();

        int products = (TWords.Value << TBits.ByteShift) + 1 >> 1;
        for (int i = Group.IdxX; i < set.Tiles * products * 64; i += Group.DimX)
        {
            int unit = i >> 6, tile = set.Tiles == 1 ? 0 : unit / products, register = 2 * (unit - tile * products);
            int column = (i & 31) >> 2, word = i & 3;
            int query = (tile * ScoreKernel.TileHeads + (column >> 1)) * ScoreKernel.MaxChannels;
            // bytes 2 and 1, then byte 0 and nothing
            int shift = (i & 32) == 0 ? 16 - 8 * (column & 1) : 0;
            uint present = (i & 32) != 0 && (column & 1) != 0 ? 0u : uint.MaxValue;
            fragments[i] = new U2
            {
                X = present & Bytes(labels, queries, query, word + 4 * (register >> TBits.ByteShift), register & (1 << TBits.ByteShift) - 1, shift),
                // a word of eight-bit codes is half a product when it is a lane's only one
                Y = (TWords.Value << TBits.ByteShift) == 1
                    ? 0u : present & Bytes(labels, queries, query, word + 4 * (register + 1 >> TBits.ByteShift), register + 1 & (1 << TBits.ByteShift) - 1, shift),
            };
        }
        Group.Barrier();
    }

    public static F4 Multiply<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        var p = Products<TWords>(words, first, query);
        F4 result;
        result.X = Score(p.Low.X, p.Low.Y, p.LowRest.X, factor);
        result.Y = Score(p.Low.Z, p.Low.W, p.LowRest.Z, factor);
        result.Z = Score(p.High.X, p.High.Y, p.HighRest.X, factor);
        result.W = Score(p.High.Z, p.High.W, p.HighRest.Z, factor);
        return result;
    }

    public static float MultiplyOwn<TWords>(U4[] words, int first, U2[] query, float factor)
        where TWords : struct, IKernelCount
    {
        var p = Products<TWords>(words, first, query);
        return Score(LabelProduct.Own(p.Low.X, p.Low.Z, p.High.X, p.High.Z), LabelProduct.Own(p.Low.Y, p.Low.W, p.High.Y, p.High.W),
            LabelProduct.Own(p.LowRest.X, p.LowRest.Z, p.HighRest.X, p.HighRest.Z), factor);
    }

    private static float Score(int upper, int middle, int lowest, float factor) => (upper * 256 + middle) * (256f * factor) + lowest * factor;

    private static IntegerProducts Products<TWords>(U4[] words, int first, U2[] query)
        where TWords : struct, IKernelCount
    {
        var sums = new IntegerProducts();
        for (int m = 0; m < TWords.Slots << TBits.ByteShift; m++)
        {
            if (2 * m < TWords.Value << TBits.ByteShift)
            {
                int left = 2 * m & (1 << TBits.ByteShift) - 1, right = 2 * m + 1 & (1 << TBits.ByteShift) - 1;
                var a = words[first + (2 * m >> TBits.ByteShift)];
                var lowRows = new U4 { X = Spread(a.X, left), Y = Spread(a.Y, left) };
                var highRows = new U4 { X = Spread(a.Z, left), Y = Spread(a.W, left) };
                if (2 * m + 1 < TWords.Value << TBits.ByteShift)
                {
                    var b = words[first + (2 * m + 1 >> TBits.ByteShift)];
                    lowRows.Z = Spread(b.X, right);
                    lowRows.W = Spread(b.Y, right);
                    highRows.Z = Spread(b.Z, right);
                    highRows.W = Spread(b.W, right);
                }
                sums.Low = TensorCore.Multiply(lowRows, query[2 * m], sums.Low);
                sums.High = TensorCore.Multiply(highRows, query[2 * m], sums.High);
                sums.LowRest = TensorCore.Multiply(lowRows, query[2 * m + 1], sums.LowRest);
                sums.HighRest = TensorCore.Multiply(highRows, query[2 * m + 1], sums.HighRest);
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
        queries[own] = Interop.IntAsFloat((uint)rounded.X);
        queries[own + 32] = Interop.IntAsFloat((uint)rounded.Y);
        queries[own + 64] = Interop.IntAsFloat((uint)rounded.Z);
        queries[own + 96] = Interop.IntAsFloat((uint)rounded.W);
        int sum = (int)GroupScan.WarpSum((uint)(rounded.X + rounded.Y + rounded.Z + rounded.W));
        if (lane == 0)
        {
            float factor = unit > 0f ? largest / Largest * score.Scale : 0f;
            factors[slot] = factor;
            // a static step is a fixed part of its channel's deviation; of the others nothing is known here, and any spread will do
            spreads[slot] = norm * score.Scale * (labels.Static != 0 ? Deviation : 1f);
            summands[slot] = (labels.PerToken != 0 ? 1f : -0.5f * ((1 << TBits.Bits) - 1)) * sum * factor;
        }
    }

    // A byte (bits from `shift` on) of each of the query's channels that meet codes number `place` of the bytes of a word.
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

    // The lower bytes count from -128 to 127, so each carries into the next what is from 128 on.
    private static uint Byte(float bits, int shift) => (uint)((int)Interop.FloatAsInt(bits) + (0x8080 & (1 << shift) - 1) >> shift) & 0xffu;

    private static uint Spread(uint word, int place) => (word >> (place * TBits.Bits)) & (0x01010101u * ((1u << TBits.Bits) - 1u));
}
