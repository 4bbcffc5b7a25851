using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Queries <c>[row, head, channel]</c> as they lie in memory.</summary>
internal readonly struct LoadedQueries : IQuerySource
{
    public static void Load<TElement, THead>(ArrayView<float> q, ArrayView<U4> fragments, AttentionArgs args, SplitPlace place, int lane, U2[] query, U2[] queryRest)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
    {
        int column = lane >> 2, pair = lane & 3;
        float scale = column < place.Slots ? args.ScaleLog2 : 0f;
        long from = (long)(place.Row * args.Heads + place.FirstHead + IntrinsicMath.Min(column, place.Slots - 1)) * (THead.Channels >> 1) + pair;
        var pairs = q.Cast<F2>();
        for (int k = 0; k < THead.Channels >> 4; k++)
        {
            var a = pairs[from + 8 * k];
            var b = pairs[from + 8 * k + 4];
            Split<TElement>(a.X * scale, a.Y * scale, b.X * scale, b.Y * scale, k, query, queryRest);
        }
    }

    /// <summary>Four numbers of step <paramref name="k"/>: rounded to 16 bits, and the rest, likewise.</summary>
    public static void Split<TElement>(float a0, float a1, float b0, float b1, int k, U2[] query, U2[] queryRest)
        where TElement : struct, ITensorElement
    {
        U2 rounded, rest;
        rounded.X = TElement.Pack(a0, a1);
        rounded.Y = TElement.Pack(b0, b1);
        rest.X = TElement.Pack(a0 - TElement.Low(rounded.X), a1 - TElement.High(rounded.X));
        rest.Y = TElement.Pack(b0 - TElement.Low(rounded.Y), b1 - TElement.High(rounded.Y));
        query[k] = rounded;
        queryRest[k] = rest;
    }
}
