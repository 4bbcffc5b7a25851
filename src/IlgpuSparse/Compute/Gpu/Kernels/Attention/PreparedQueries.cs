using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>
/// Queries that a warp has left in shared memory, while the group did something else, as all warps need them. What is done once a step is done for the first time: its instructions are not at hand, and a warp waits for them longer
/// than it takes to carry them out, right where the whole step waits for it. So it is done where nobody does.
/// </summary>
internal readonly struct PreparedQueries : IQuerySource
{
    /// <summary>16-byte units for heads of <paramref name="channels"/>: <c>[16 channels, lane]</c>.</summary>
    public static int Units(int channels) => 2 * channels;

    /// <summary>Leaves the queries of a set of <paramref name="heads"/> from <paramref name="firstHead"/> on in <paramref name="fragments"/>. A whole warp calls, and a barrier has to lie between this and whoever reads them.</summary>
    public static void Prepare<TElement, THead>(ArrayView<float> q, ArrayView<U4> fragments, AttentionArgs args, int row, int firstHead, int heads)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
    {
        int lane = Group.IdxX & 31, steps = THead.Channels >> 4;
        SplitPlace place = default;
        place.Row = row;
        place.FirstHead = firstHead;
        place.Slots = heads;
        var query = new U2[steps];
        var rest = new U2[steps];
        LoadedQueries.Load<TElement, THead>(q, fragments, args, place, lane, query, rest);
        for (int k = 0; k < steps; k++)
        {
            U4 unit;
            unit.X = query[k].X;
            unit.Y = query[k].Y;
            unit.Z = rest[k].X;
            unit.W = rest[k].Y;
            fragments[k * 32 + lane] = unit;
        }
    }

    public static void Load<TElement, THead>(ArrayView<float> q, ArrayView<U4> fragments, AttentionArgs args, SplitPlace place, int lane, U2[] query, U2[] queryRest)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize
    {
        for (int k = 0; k < THead.Channels >> 4; k++)
        {
            var unit = fragments[k * 32 + lane];
            query[k] = new U2 { X = unit.X, Y = unit.Y };
            queryRest[k] = new U2 { X = unit.Z, Y = unit.W };
        }
    }
}
