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
            float a0 = a.X * scale, a1 = a.Y * scale, b0 = b.X * scale, b1 = b.Y * scale;
            U2 rounded, rest;
            rounded.X = TElement.Pack(a0, a1);
            rounded.Y = TElement.Pack(b0, b1);
            rest.X = TElement.Pack(a0 - TElement.Low(rounded.X), a1 - TElement.High(rounded.X));
            rest.Y = TElement.Pack(b0 - TElement.Low(rounded.Y), b1 - TElement.High(rounded.Y));
            query[k] = rounded;
            queryRest[k] = rest;
        }
    }
}
