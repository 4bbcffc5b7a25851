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

    /// <summary>Where the kv head's channels begin in the tables.</summary>
    public int Channels;

    /// <summary>Queries: the heads of the set, or one sum of them.</summary>
    public int Count;

    /// <summary>Tiles of four queries.</summary>
    public int Tiles;

    /// <summary>
    /// Channels <paramref name="lane"/>, + 32, + 64 and + 96 of the label's of the query in place <paramref name="slot"/> of the tiles, times their steps; zero beyond the last. Places
    /// without a query hold the first one. Written without loops and branches so that the loads of all four are under way together: every group waits for them.
    /// </summary>
    public readonly F4 Load(LabelView labels, ScoreView score, int slot, int lane)
    {
        int last = labels.ChannelCount - 1;
        int x = Channels + Math.Min(lane, last), y = Channels + Math.Min(lane + 32, last), z = Channels + Math.Min(lane + 64, last), w = Channels + Math.Min(lane + 96, last);
        int cx = labels.Channels[x], cy = labels.Channels[y], cz = labels.Channels[z], cw = labels.Channels[w];
        // memory that holds something else when there are no steps
        float sx = labels.Steps[x], sy = labels.Steps[y], sz = labels.Steps[z], sw = labels.Steps[w];
        long query = ((long)Row * score.Heads + FirstHead + (slot < Count ? slot : 0)) * score.HeadDim;
        F4 value;
        value.X = score.Queries[query + cx];
        value.Y = score.Queries[query + cy];
        value.Z = score.Queries[query + cz];
        value.W = score.Queries[query + cw];
        int heads = score.Sum != 0 ? score.HeadsPerSet : 1;
        for (int h = 1; h < heads; h++)
        {
            query += score.HeadDim;
            value.X += score.Queries[query + cx];
            value.Y += score.Queries[query + cy];
            value.Z += score.Queries[query + cz];
            value.W += score.Queries[query + cw];
        }
        bool isStatic = labels.Static != 0;
        value.X = lane <= last ? value.X * (isStatic ? sx : 1f) : 0f;
        value.Y = lane + 32 <= last ? value.Y * (isStatic ? sy : 1f) : 0f;
        value.Z = lane + 64 <= last ? value.Z * (isStatic ? sz : 1f) : 0f;
        value.W = lane + 96 <= last ? value.W * (isStatic ? sw : 1f) : 0f;
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
        for (int d = 0; d < 5; d++) largest = Math.Max(largest, Warp.ShuffleXor(largest, 1 << d));
        return largest;
    }
}
