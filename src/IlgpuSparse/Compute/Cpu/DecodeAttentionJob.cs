using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Attention of single queries over lists of tokens, cut into units of (row, set) and these into splits. A split keeps the running maximum, sum and weighted values of its tokens
/// (<see cref="RunningSoftmax{V, TElement}"/>); whoever finishes a unit's last split merges them by their maxima (split-KV decoding).
/// </summary>
internal unsafe struct DecodeAttentionJob<V, TElement> : IParallelJob
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    // Selected tokens whose rows are listed at a time.
    private const int ListTokens = 1024;

    public required AttentionShape Shape;
    public required byte* KCache;
    public required byte* VCache;
    /// <summary>A scale a row of K and of V, or null where elements have none.</summary>
    public required float* KScales;
    public required float* VScales;
    public required int* Positions;
    public required int* BlockTable;
    /// <summary>Entries of the block table from one row to the next; 0 when all share one.</summary>
    public required int BlockStride;
    /// <summary>Selected positions <c>[row, set, SetCapacity]</c>, or null for every visible token.</summary>
    public required int* Indices;
    public required int* Counts;
    public required int SetCapacity;
    /// <summary>Token lists a row.</summary>
    public required int Sets;
    /// <summary>Queries <c>[row, head, headDim]</c>.</summary>
    public required float* Q;
    /// <summary>Results <c>[row, head, headDim]</c>.</summary>
    public required float* Y;
    public required CpuScratch Scratch;

    private int _runTokens;
    private int _splitTokens;
    private int _maxSplits;
    private float* _states;
    private int* _finished;

    private readonly int HeadsPerSet => Shape.Heads / Sets;
    private readonly int Width => DecodeOrder<V, TElement>.Pairs(Shape.HeadDim) * 2 * V.Count;
    private readonly int StateStride => RunningSoftmax<V, TElement>.Header + Width;

    /// <summary>Decides the splits and runs.</summary>
    public void Run(WorkerPool pool, int rows)
    {
        long total = 0;
        int longest = 0;
        for (int unit = 0; unit < rows * Sets; unit++)
        {
            int count = TokenCount(unit);
            total += count;
            longest = Math.Max(longest, count);
        }
        // eight tasks a worker so that a slow core does not hold up the rest, but no split so short that starting it shows
        const int tasksPerWorker = 8, shortestSplit = KvLayer.BlockTokens;
        long even = total / (pool.Workers * tasksPerWorker) + 1;
        _splitTokens = pool.Workers == 1 ? Math.Max(1, longest) : (int)Math.Max(shortestSplit, (even + shortestSplit - 1) / shortestSplit * shortestSplit);
        Prepare(rows, Math.Max(1, (longest + _splitTokens - 1) / _splitTokens));
        pool.Run(ref this, rows * Sets * _maxSplits);
    }

    /// <summary>Decides that each list, whose length is not known yet, is one task: <see cref="Execute"/> of its number in <c>[row, set]</c>.</summary>
    public void TakeWhole(int rows)
    {
        _splitTokens = int.MaxValue;
        Prepare(rows, maxSplits: 1);
    }

    private void Prepare(int rows, int maxSplits)
    {
        // several heads take several passes over a run, which must find it in the first-level cache
        _runTokens = HeadsPerSet == 1 ? DecodeOrder<V, TElement>.TileTokens : Math.Clamp(4096 / (Shape.HeadDim * TElement.Bytes) & ~15, 16, 32);
        _maxSplits = maxSplits;
        int units = rows * Sets;
        long stateBytes = (long)units * _maxSplits * HeadsPerSet * StateStride * sizeof(float);
        byte* shared = Scratch.Attention.Reserve(stateBytes + units * sizeof(int));
        _states = (float*)shared;
        _finished = (int*)(shared + stateBytes);
        new Span<int>(_finished, units).Clear();
    }

    public void Execute(int task, int worker)
    {
        int unit = task / _maxSplits, split = task % _maxSplits;
        int count = TokenCount(unit);
        int splits = Math.Max(1, (int)(((long)count + _splitTokens - 1) / _splitTokens));
        if (split >= splits) return;
        Attend(unit, split * _splitTokens, (int)Math.Min(count, (split + 1L) * _splitTokens), State(unit, split, 0), worker);
        if (splits > 1 && Interlocked.Increment(ref _finished[unit]) < splits) return;
        for (int h = 0; h < HeadsPerSet; h++)
        {
            float* states = State(unit, 0, h);
            float sum = RunningSoftmax<V, TElement>.Merge(states, (long)HeadsPerSet * StateStride, splits, Width);
            DecodeOrder<V, TElement>.Finish(states + RunningSoftmax<V, TElement>.Header, sum, Shape.HeadDim, Y + ((long)unit * HeadsPerSet + h) * Shape.HeadDim);
        }
    }

    private readonly float* State(int unit, int split, int head) => _states + (((long)unit * _maxSplits + split) * HeadsPerSet + head) * StateStride;

    private readonly int TokenCount(int unit)
    {
        if (Indices != null) return Counts[unit];
        int position = Positions[unit / Sets];
        return position - Shape.FirstVisible(position) + 1;
    }

    private readonly void Attend(int unit, int begin, int end, float* states, int worker)
    {
        int heads = HeadsPerSet, width = Width, stride = StateStride;
        bool four = Indices != null && heads == 1 && Shape.HeadDim == FourPairAttention<V, TElement>.HeadDim;
        long listBytes = four ? (ListTokens + FourPairAttention<V, TElement>.Ahead + FourPairAttention<V, TElement>.Group) * sizeof(int) : 2 * ListedRows.Tokens * sizeof(long);
        byte* list = (byte*)Scratch.Worker(worker).Reserve(listBytes + (long)heads * (DecodeOrder<V, TElement>.TileTokens + width) * sizeof(float));
        float* weights = (float*)(list + listBytes);
        float* queries = weights + heads * DecodeOrder<V, TElement>.TileTokens;
        for (int h = 0; h < heads; h++)
        {
            DecodeOrder<V, TElement>.PrepareQuery(Q + ((long)unit * heads + h) * Shape.HeadDim, Shape.HeadDim, Shape.Scale, queries + h * width);
            RunningSoftmax<V, TElement>.Clear(states + h * stride, width);
        }
        if (Indices == null) AttendRuns(unit, begin, end, queries, weights, states);
        else if (four) AttendListed(unit, begin, end, (int*)list, queries, states);
        else AttendListed(unit, begin, end, (long*)list, queries, weights, states);
    }

    // Tokens anywhere, for one head of the most frequent size.
    private readonly void AttendListed(int unit, int begin, int end, int* rows, float* queries, float* state)
    {
        const int group = FourPairAttention<V, TElement>.Group, ahead = FourPairAttention<V, TElement>.Ahead;
        for (int count, token = begin; token < end; token += count)
        {
            count = Math.Min(ListTokens, end - token);
            int listed = Locate(unit, token, Math.Min(end, token + count + ahead), rows);
            for (int padded = (count + group - 1) / group * group + ahead; listed < padded; listed++) rows[listed] = rows[listed - 1];
            FourPairAttention<V, TElement>.Run(KCache, VCache, rows, count, KScales, VScales, queries, ref state[0], ref state[1], state + RunningSoftmax<V, TElement>.Header);
        }
    }

    // Rows of a unit's selected tokens from list entry begin to end.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly int Locate(int unit, int begin, int end, int* rows)
    {
        int row = unit / Sets, kvHead = unit % Sets * Shape.KvHeads / Sets;
        int* blocks = BlockTable + (long)row * BlockStride;
        int* indices = Indices + (long)unit * SetCapacity + begin;
        for (int i = 0; i < end - begin; i++)
            rows[i] = (int)Row(blocks, kvHead, indices[i]);
        return end - begin;
    }

    // Tokens that follow one another, a run inside a block at a time: K of a run, then its V, each fetching what is used a certain way behind it.
    private readonly void AttendRuns(int unit, int begin, int end, float* queries, float* weights, float* states)
    {
        int rowBytes = Shape.HeadDim * TElement.Bytes, ahead = RunRows.Distance / rowBytes & ~3;
        long offset = RunOffset(unit, begin);
        for (int count, token = begin; token < end; token += count)
        {
            count = RunTokens(unit, token, end);
            long next = token + count < end ? RunOffset(unit, token + count) : offset;
            int late = Math.Min(ahead, count), early = count - late;
            byte* k = KCache + offset, v = VCache + offset;
            long rest = (long)early * rowBytes, distance = (long)late * rowBytes;
            Logits(new RunRows(k, rowBytes, early, k + distance), queries, weights);
            Logits(new RunRows(k + rest, rowBytes, late, v), queries, weights + early);
            if (KScales != null) ScaleRows(new RunRows(k, rowBytes, count, k), KCache, KScales, weights);
            Soften(weights, count, states);
            if (VScales != null) ScaleRows(new RunRows(v, rowBytes, count, v), VCache, VScales, weights);
            Accumulate(new RunRows(v, rowBytes, early, v + distance), weights, states);
            Accumulate(new RunRows(v + rest, rowBytes, late, KCache + next), weights + early, states);
            offset = next;
        }
    }

    // Tokens anywhere: the rows of V are fetched while those of K are used, and those of K of the next tokens meanwhile.
    private readonly void AttendListed(int unit, int begin, int end, long* offsets, float* queries, float* weights, float* states)
    {
        int rowBytes = Shape.HeadDim * TElement.Bytes;
        long* now = offsets, next = now + ListedRows.Tokens;
        int count = Locate(unit, begin, end, now);
        for (int token = begin; token < end; token += ListedRows.Tokens)
        {
            int nextCount = Locate(unit, token + ListedRows.Tokens, end, next);
            var k = new ListedRows(KCache, now, count, rowBytes, VCache, now, count);
            var v = new ListedRows(VCache, now, count, rowBytes, KCache, next, nextCount);
            Logits(k, queries, weights);
            if (KScales != null) ScaleRows(k, KCache, KScales, weights);
            Soften(weights, count, states);
            if (VScales != null) ScaleRows(v, VCache, VScales, weights);
            Accumulate(v, weights, states);
            long* done = now;
            now = next;
            next = done;
            count = nextCount;
        }
    }

    private readonly void Logits<TRows>(in TRows rows, float* queries, float* weights) where TRows : struct, IKvRows =>
        LogitKernels<V, TElement>.Run(rows, queries, HeadsPerSet, Shape.HeadDim, weights);

    private readonly void Accumulate<TRows>(in TRows rows, float* weights, float* states) where TRows : struct, IKvRows =>
        ValueKernels<V, TElement>.Run(rows, weights, HeadsPerSet, Shape.HeadDim, states + RunningSoftmax<V, TElement>.Header, StateStride);

    // Multiplies each token's logits or weights of all heads by the scale of its row.
    private readonly void ScaleRows<TRows>(in TRows rows, byte* cache, float* scales, float* values) where TRows : struct, IKvRows
    {
        int heads = HeadsPerSet, rowBytes = Shape.HeadDim * TElement.Bytes;
        for (int i = 0; i < rows.Count; i++)
        {
            float scale = scales[(rows.Row(i) - cache) / rowBytes];
            for (int h = 0; h < heads; h++) values[h * DecodeOrder<V, TElement>.TileTokens + i] *= scale;
        }
    }

    // Row of a token in the cache.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly long Row(int* blocks, int kvHead, int token) =>
        (((long)blocks[token >> KvLayer.BlockShift] * Shape.KvHeads + kvHead) << KvLayer.BlockShift) + (token & (KvLayer.BlockTokens - 1));

    // Byte offset of the row of a unit's visible token.
    private readonly long RunOffset(int unit, int entry)
    {
        int row = unit / Sets, kvHead = unit % Sets * Shape.KvHeads / Sets, token = Shape.FirstVisible(Positions[row]) + entry;
        return Row(BlockTable + (long)row * BlockStride, kvHead, token) * Shape.HeadDim * TElement.Bytes;
    }

    // Tokens from a visible token on that follow one another.
    private readonly int RunTokens(int unit, int entry, int end)
    {
        int token = Shape.FirstVisible(Positions[unit / Sets]) + entry;
        return Math.Min(Math.Min(_runTokens, end - entry), KvLayer.BlockTokens - (token & (KvLayer.BlockTokens - 1)));
    }

    // Byte offsets of the rows of up to a tile's selected tokens from list entry begin.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly int Locate(int unit, int begin, int end, long* offsets)
    {
        int count = Math.Min(ListedRows.Tokens, end - begin);
        if (count <= 0) return 0;
        int row = unit / Sets, kvHead = unit % Sets * Shape.KvHeads / Sets;
        int* blocks = BlockTable + (long)row * BlockStride;
        long rowBytes = Shape.HeadDim * TElement.Bytes;
        int* indices = Indices + (long)unit * SetCapacity + begin;
        for (int i = 0; i < count; i++) offsets[i] = Row(blocks, kvHead, indices[i]) * rowBytes;
        for (int i = count; (i & 3) != 0; i++) offsets[i] = offsets[count - 1];
        return count;
    }

    // Turns a tile's logits into weights relative to the running maximum.
    private readonly void Soften(float* weights, int count, float* states)
    {
        for (int h = 0; h < HeadsPerSet; h++) RunningSoftmax<V, TElement>.Soften(weights + h * DecodeOrder<V, TElement>.TileTokens, count, states + h * StateStride, Width);
    }
}
