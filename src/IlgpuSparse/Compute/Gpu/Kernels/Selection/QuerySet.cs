using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The queries that a group of threads scores with.</summary>
internal struct QuerySet
{
    /// <summary>Activation row.</summary>
    public int Row;

    /// <summary>First query head.</summary>
    public int FirstHead;

    /// <summary>Kv head of the set.</summary>
    public int KvHead;

    /// <summary>Queries: the heads of the set, or one sum of them.</summary>
    public int Count;

    /// <summary>Tiles of four queries.</summary>
    public int Tiles;

    /// <summary>The channels of the lane's places of a label: its own, + 32, + 64 and + 96, the last one for those beyond it.</summary>
    public I4 Places;

    /// <summary>The steps of the same; zero beyond the last.</summary>
    public F4 Steps;

    /// <summary>
    /// The queries of set <paramref name="set"/> of <paramref name="row"/>, and the lane's part of the tables. Written without loops and branches so that the loads of all four places are under way together: every group waits
    /// for them.
    /// </summary>
    public static QuerySet Of(LabelView labels, ScoreView score, int row, int set)
    {
        QuerySet queries;
        queries.Row = row;
        queries.FirstHead = set * score.HeadsPerSet;
        queries.Count = score.Sum != 0 ? 1 : score.HeadsPerSet;
        queries.Tiles = (queries.Count + ScoreKernel.TileHeads - 1) >> 2;
        queries.KvHead = queries.FirstHead / score.GroupSize;
        int channels = queries.KvHead * labels.ChannelCount, lane = ILGPU.Group.IdxX & 31, last = labels.ChannelCount - 1;
        int x = channels + Math.Min(lane, last), y = channels + Math.Min(lane + 32, last), z = channels + Math.Min(lane + 64, last), w = channels + Math.Min(lane + 96, last);
        queries.Places.X = labels.Channels[x];
        queries.Places.Y = labels.Channels[y];
        queries.Places.Z = labels.Channels[z];
        queries.Places.W = labels.Channels[w];
        // memory that holds something else when there are no steps
        float sx = labels.Steps[x], sy = labels.Steps[y], sz = labels.Steps[z], sw = labels.Steps[w];
        bool isStatic = labels.Static != 0;
        sx = isStatic ? sx : 1f;
        sy = isStatic ? sy : 1f;
        sz = isStatic ? sz : 1f;
        sw = isStatic ? sw : 1f;
        queries.Steps.X = lane <= last ? sx : 0f;
        queries.Steps.Y = lane + 32 <= last ? sy : 0f;
        queries.Steps.Z = lane + 64 <= last ? sz : 0f;
        queries.Steps.W = lane + 96 <= last ? sw : 0f;
        return queries;
    }

    /// <summary>The lane's <see cref="Places"/> of the query in place <paramref name="slot"/> of the tiles, times their steps; zero beyond the last. Places without a query hold the first one.</summary>
    public readonly F4 Load(ScoreView score, int slot)
    {
        long query = ((long)Row * score.Heads + FirstHead + (slot < Count ? slot : 0)) * score.HeadDim;
        F4 value;
        value.X = score.Queries[query + Places.X];
        value.Y = score.Queries[query + Places.Y];
        value.Z = score.Queries[query + Places.Z];
        value.W = score.Queries[query + Places.W];
        int heads = score.Sum != 0 ? score.HeadsPerSet : 1;
        for (int h = 1; h < heads; h++)
        {
            query += score.HeadDim;
            value.X += score.Queries[query + Places.X];
            value.Y += score.Queries[query + Places.Y];
            value.Z += score.Queries[query + Places.Z];
            value.W += score.Queries[query + Places.W];
        }
        // beyond the last a query is zero, whatever the last channel holds
        value.X = Steps.X != 0f ? value.X * Steps.X : 0f;
        value.Y = Steps.Y != 0f ? value.Y * Steps.Y : 0f;
        value.Z = Steps.Z != 0f ? value.Z * Steps.Z : 0f;
        value.W = Steps.W != 0f ? value.W * Steps.W : 0f;
        return value;
    }

    /// <summary>The Euclidean norm of a warp's channels, roughly: no result depends on it.</summary>
    public static float Norm(F4 value)
    {
        float sum = value.X * value.X + value.Y * value.Y + value.Z * value.Z + value.W * value.W;
        for (int d = 0; d < 5; d++) sum += Warp.ShuffleXor(sum, 1 << d);
        return XMath.Sqrt(sum);
    }

    /// <summary>The largest magnitude of a warp's channels.</summary>
    public static float Largest(F4 value)
    {
        float largest = Math.Max(Math.Max(Math.Abs(value.X), Math.Abs(value.Y)), Math.Max(Math.Abs(value.Z), Math.Abs(value.W)));
        // what is not negative is in the order of its bits
        return Interop.IntAsFloat(GroupScan.WarpMax(Interop.FloatAsInt(largest)));
    }
}
