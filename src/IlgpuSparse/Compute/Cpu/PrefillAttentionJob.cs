using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Causal attention of a chunk of tokens, blocked (Dao et al. 2022): a task keeps some queries of one kv head, with their running maxima, sums and weighted values, and takes a tile of tokens
/// after the other. K and V of a tile are unpacked once for all its queries, and both products are those of the matrix product's register tile.
/// </summary>
internal unsafe struct PrefillAttentionJob<V, TElement> : IParallelJob
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    // Tokens a tile, half a block of the cache: the part of K or V that a register tile reads is half a first-level cache.
    private const int TileTokens = KvLayer.BlockTokens / 2;

    // Rows of logits lie a line further apart than a power of two, or they would compete for the same lines of the cache.
    private const int LogitStride = TileTokens + 16;

    // Queries a task: enough that unpacking K and V does not show, few enough for the second-level cache.
    private const int MostRows = 192, LeastRows = 48;

    public required AttentionShape Shape;
    public required byte* KCache;
    public required byte* VCache;
    /// <summary>A scale a row of K and of V, or null where elements have none.</summary>
    public required float* KScales;
    public required float* VScales;
    /// <summary>Blocks of the sequence.</summary>
    public required int* Blocks;
    /// <summary>Position of the first row.</summary>
    public required int Start;
    /// <summary>Queries <c>[row, head, headDim]</c>.</summary>
    public required float* Q;
    /// <summary>Results <c>[row, head, headDim]</c>.</summary>
    public required float* Y;
    public required CpuScratch Scratch;

    private int _rows;
    private int _taskRows;
    private int _tasksPerHead;

    private static int PanelTokens => GemmTile.PanelVectors * V.Count;

    private readonly int Width => DecodeOrder<V, TElement>.Pairs(Shape.HeadDim) * 2 * V.Count;

    private readonly int QueryStride => Width + 16;

    /// <summary>Attends with the queries of <paramref name="rows"/> tokens.</summary>
    public void Run(WorkerPool pool, int rows)
    {
        int tileRows = GemmTile.Rows<V>();
        _rows = rows * Shape.GroupSize;
        long even = ((long)_rows * Shape.KvHeads + 4 * pool.Workers - 1) / (4 * pool.Workers);
        _taskRows = (int)Math.Clamp(even, LeastRows, MostRows) / tileRows * tileRows;
        _tasksPerHead = (_rows + _taskRows - 1) / _taskRows;
        pool.Run(ref this, _tasksPerHead * Shape.KvHeads);
    }

    /// <summary>A query is counted as token · group + head in group: so later rows see more.</summary>
    public readonly void Execute(int task, int worker)
    {
        int kvHead = task % Shape.KvHeads, first = (_tasksPerHead - 1 - task / Shape.KvHeads) * _taskRows, rows = Math.Min(_taskRows, _rows - first);
        int tileRows = GemmTile.Rows<V>(), padded = (rows + tileRows - 1) / tileRows * tileRows, width = Width;
        long queryFloats = (long)padded * QueryStride, logitFloats = (long)padded * LogitStride, panelFloats = (long)TileTokens * width;
        float* queries = Scratch.Worker(worker).Floats(2 * queryFloats + logitFloats + 2 * panelFloats + PanelPacking.UnpackedFloats(PanelTokens) + 2 * padded);
        float* sums = queries + queryFloats, logits = sums + queryFloats, keys = logits + logitFloats, values = keys + panelFloats;
        float* unpacked = values + panelFloats, state = unpacked + PanelPacking.UnpackedFloats(PanelTokens);

        new Span<float>(queries, checked((int)(2 * queryFloats))).Clear();
        for (int i = 0; i < rows; i++)
        {
            DecodeOrder<V, TElement>.PrepareQuery(Q + Row(first + i, kvHead), Shape.HeadDim, Shape.Scale, queries + (long)i * QueryStride);
            state[2 * i] = float.NegativeInfinity;
            state[2 * i + 1] = 0;
        }
        int end = Position(first + rows - 1) + 1;
        for (int token = Shape.FirstVisible(Position(first)) / TileTokens * TileTokens; token < end; token += TileTokens)
        {
            int count = Math.Min(TileTokens, end - token);
            long row = (((long)Blocks[token >> KvLayer.BlockShift] * Shape.KvHeads + kvHead) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1));
            UnpackKeys(row, count, width, unpacked, keys);
            UnpackValues(row, count, values);
            new Span<float>(logits, checked((int)logitFloats)).Clear();
            for (int panel = 0; panel < count; panel += PanelTokens)
                for (int i = 0; i < padded; i += tileRows)
                    GemmTile.Run<V>(queries + (long)i * QueryStride, QueryStride, keys + (long)panel * width, width, logits + (long)i * LogitStride + panel, LogitStride);
            for (int i = 0; i < rows; i++)
            {
                int position = Position(first + i);
                Soften(logits + (long)i * LogitStride, Math.Max(0, Shape.FirstVisible(position) - token), Math.Min(count, position + 1 - token), state + 2 * i, sums + (long)i * QueryStride, width);
            }
            for (int channel = 0; channel < width; channel += PanelTokens)
                for (int i = 0; i < padded; i += tileRows)
                    GemmTile.Run<V>(logits + (long)i * LogitStride, LogitStride, values + (long)channel * TileTokens, count, sums + (long)i * QueryStride + channel, QueryStride);
        }
        for (int i = 0; i < rows; i++)
            DecodeOrder<V, TElement>.Finish(sums + (long)i * QueryStride, state[2 * i + 1], Shape.HeadDim, Y + Row(first + i, kvHead));
    }

    private readonly int Position(int row) => Start + row / Shape.GroupSize;

    // Where the query or result of a row lies.
    private readonly long Row(int row, int kvHead)
    {
        int token = row / Shape.GroupSize, head = kvHead * Shape.GroupSize + row % Shape.GroupSize;
        return ((long)token * Shape.Heads + head) * Shape.HeadDim;
    }

    // To panels [channel, token] of as many tokens as a register tile has columns; tokens that are not there are whatever the block holds, and masked later.
    private readonly void UnpackKeys(long row, int count, int width, float* unpacked, float* panels)
    {
        for (int token = 0; token < count; token += PanelTokens, panels += (long)PanelTokens * width)
        {
            for (int i = 0; i < PanelTokens; i++)
                Unpack(KCache, KScales, row + token + i, unpacked + (long)i * PanelPacking.UnpackedStride, 2 * V.Count);
            PanelPacking.Transpose(unpacked, PanelPacking.UnpackedStride, width, panels, PanelTokens);
        }
    }

    // To panels [token, channel] of as many channels as a register tile has columns.
    private readonly void UnpackValues(long row, int count, float* panels)
    {
        for (int i = 0; i < count; i++)
            Unpack(VCache, VScales, row + i, panels + (long)i * PanelTokens, (long)TileTokens * PanelTokens);
    }

    private readonly void Unpack(byte* cache, float* scales, long row, float* target, long stride) =>
        DecodeOrder<V, TElement>.Unpack(cache + row * Shape.HeadDim * TElement.Bytes, Shape.HeadDim, scales == null ? 1 : scales[row], target, stride);

    // Turns the logits of a row into weights relative to its running maximum: zero outside of what it sees.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Soften(float* logits, int begin, int end, float* state, float* sums, int width)
    {
        if (begin >= end)
        {
            new Span<float>(logits, TileTokens).Clear();
            return;
        }
        new Span<float>(logits, begin).Fill(float.NegativeInfinity);
        new Span<float>(logits + end, TileTokens - end).Fill(float.NegativeInfinity);
        V most = V.Load(logits);
        for (int i = V.Count; i < TileTokens; i += V.Count) most = V.Max(most, V.Load(logits + i));
        float tileMax = V.MaxLane(most);
        if (tileMax > state[0])
        {
            float keep = MathF.Pow(2f, state[0] - tileMax);
            state[0] = tileMax;
            state[1] *= keep;
            for (int i = 0; i < width; i += V.Count) V.Store(V.Multiply(V.Load(sums + i), V.Create(keep)), sums + i);
        }
        V sum = V.Zero, other = V.Zero, maximum = V.Create(state[0]);
        for (int i = 0; i < TileTokens; i += 2 * V.Count)
        {
            V a = Exp2<V>.Of(V.Subtract(V.Load(logits + i), maximum)), b = Exp2<V>.Of(V.Subtract(V.Load(logits + i + V.Count), maximum));
            sum = V.Add(sum, a);
            other = V.Add(other, b);
            V.Store(a, logits + i);
            V.Store(b, logits + i + V.Count);
        }
        state[1] += V.Sum(V.Add(sum, other));
    }
}
