using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Attention of single queries over lists of tokens, cut into units of (row, set) and these into splits. A split keeps the running maximum, sum and weighted values of its tokens (online
/// softmax, Milakov and Gimelshein 2018); whoever finishes a unit's last split merges them by their maxima (split-KV decoding).
/// </summary>
internal unsafe struct DecodeAttentionJob<V, TElement> : IParallelJob
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    // Maximum and sum in front of the weighted values of a head, padded to a cache line.
    private const int StateHeader = 16;

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

    private int _tileTokens;
    private int _splitTokens;
    private int _maxSplits;
    private float* _states;
    private int* _finished;

    private readonly int HeadsPerSet => Shape.Heads / Sets;
    private readonly int Width => DecodeKernels<V, TElement>.Pairs(Shape.HeadDim) * 2 * V.Count;
    private readonly int StateStride => StateHeader + Width;

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
        _tileTokens = KvTile.TokensFor(Shape.HeadDim * TElement.Bytes, scattered: Indices != null);
        // eight tasks a worker so that a slow core does not hold up the rest, but no split so short that starting it shows
        const int tasksPerWorker = 8, shortestSplit = KvLayer.BlockTokens;
        long even = total / (pool.Workers * tasksPerWorker) + 1;
        _splitTokens = pool.Workers == 1 ? Math.Max(1, longest) : (int)Math.Max(shortestSplit, (even + KvTile.Tokens - 1) / KvTile.Tokens * KvTile.Tokens);
        _maxSplits = Math.Max(1, (longest + _splitTokens - 1) / _splitTokens);
        int units = rows * Sets;
        long stateBytes = (long)units * _maxSplits * HeadsPerSet * StateStride * sizeof(float);
        byte* shared = Scratch.Attention.Reserve(stateBytes + units * sizeof(int));
        _states = (float*)shared;
        _finished = (int*)(shared + stateBytes);
        new Span<int>(_finished, units).Clear();
        pool.Run(ref this, units * _maxSplits);
    }

    public void Execute(int task, int worker)
    {
        int unit = task / _maxSplits, split = task % _maxSplits;
        int count = TokenCount(unit);
        int splits = Math.Max(1, (count + _splitTokens - 1) / _splitTokens);
        if (split >= splits) return;
        Attend(unit, split * _splitTokens, Math.Min(count, (split + 1) * _splitTokens), State(unit, split, 0), worker);
        if (splits > 1 && Interlocked.Increment(ref _finished[unit]) < splits) return;
        for (int h = 0; h < HeadsPerSet; h++) Merge(unit, h, splits);
    }

    private readonly float* State(int unit, int split, int head) => _states + (((long)unit * _maxSplits + split) * HeadsPerSet + head) * StateStride;

    private readonly int TokenCount(int unit)
    {
        if (Indices != null) return Counts[unit];
        int position = Positions[unit / Sets];
        return position - Shape.FirstVisible(position) + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Attend(int unit, int begin, int end, float* states, int worker)
    {
        int heads = HeadsPerSet, width = Width, stride = StateStride, rowBytes = Shape.HeadDim * TElement.Bytes;
        long scratchBytes = 2 * KvTile.Tokens * sizeof(long) + (long)heads * (KvTile.Tokens + width) * sizeof(float);
        byte* scratch = Scratch.Worker(worker).Reserve(scratchBytes);
        long* now = (long*)scratch, next = now + KvTile.Tokens;
        float* weights = (float*)(next + KvTile.Tokens);
        float* queries = weights + heads * KvTile.Tokens;
        for (int h = 0; h < heads; h++)
        {
            DecodeKernels<V, TElement>.PrepareQuery(Q + ((long)unit * heads + h) * Shape.HeadDim, Shape.HeadDim, Shape.Scale, queries + h * width);
            states[h * stride] = float.NegativeInfinity;
            states[h * stride + 1] = 0;
            new Span<float>(states + h * stride + StateHeader, width).Clear();
        }
        int count = Locate(unit, begin, end, now);
        for (int token = begin; token < end; token += _tileTokens)
        {
            int nextCount = Locate(unit, token + _tileTokens, end, next);
            var tile = new KvTile { Base = KCache, Offsets = now, Count = count, RowBytes = rowBytes, NextBase = VCache, NextOffsets = now, NextCount = count };
            DecodeKernels<V, TElement>.Logits(tile, queries, heads, Shape.HeadDim, weights);
            if (KScales != null) ScaleRows(weights, heads, now, count, KScales, rowBytes);
            for (int h = 0; h < heads; h++) Soften(weights + h * KvTile.Tokens, count, states + h * stride, width);
            if (VScales != null) ScaleRows(weights, heads, now, count, VScales, rowBytes);
            tile = tile with { Base = VCache, NextBase = KCache, NextOffsets = next, NextCount = nextCount };
            DecodeKernels<V, TElement>.Accumulate(tile, weights, heads, Shape.HeadDim, states + StateHeader, stride);
            long* done = now;
            now = next;
            next = done;
            count = nextCount;
        }
    }

    // Multiplies each token's logits or weights of all heads by the scale of its row.
    private static void ScaleRows(float* values, int heads, long* offsets, int count, float* scales, int rowBytes)
    {
        for (int i = 0; i < count; i++)
        {
            float scale = scales[offsets[i] / rowBytes];
            for (int h = 0; h < heads; h++) values[h * KvTile.Tokens + i] *= scale;
        }
    }

    // Byte offsets of the rows of up to a tile's tokens from list entry begin.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly int Locate(int unit, int begin, int end, long* offsets)
    {
        int count = Math.Min(_tileTokens, end - begin);
        if (count <= 0) return 0;
        int row = unit / Sets, kvHead = unit % Sets * Shape.KvHeads / Sets;
        int* blocks = BlockTable + (long)row * BlockStride;
        long rowBytes = Shape.HeadDim * TElement.Bytes;
        if (Indices == null)
        {
            // runs inside a block
            int token = Shape.FirstVisible(Positions[row]) + begin;
            for (int i = 0; i < count;)
            {
                int inBlock = token & (KvLayer.BlockTokens - 1), runEnd = Math.Min(count, i + KvLayer.BlockTokens - inBlock);
                long offset = ((((long)blocks[token >> KvLayer.BlockShift] * Shape.KvHeads + kvHead) << KvLayer.BlockShift) + inBlock) * rowBytes;
                for (; i < runEnd; i++, token++, offset += rowBytes) offsets[i] = offset;
            }
        }
        else
        {
            int* indices = Indices + (long)unit * SetCapacity + begin;
            for (int i = 0; i < count; i++)
            {
                long block = blocks[indices[i] >> KvLayer.BlockShift];
                offsets[i] = (((block * Shape.KvHeads + kvHead) << KvLayer.BlockShift) + (indices[i] & (KvLayer.BlockTokens - 1))) * rowBytes;
            }
        }
        for (int i = count; (i & 3) != 0; i++) offsets[i] = offsets[count - 1];
        return count;
    }

    // Turns a tile's logits into weights relative to the running maximum.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Soften(float* weights, int count, float* state, int width)
    {
        int padded = (count + V.Count - 1) / V.Count * V.Count;
        for (int i = count; i < padded; i++) weights[i] = float.NegativeInfinity;
        V most = V.Load(weights);
        for (int i = V.Count; i < padded; i += V.Count) most = V.Max(most, V.Load(weights + i));
        float tileMax = V.MaxLane(most) * TElement.Remainder;
        if (tileMax > state[0])
        {
            float keep = MathF.Pow(2f, state[0] - tileMax);
            state[0] = tileMax;
            state[1] *= keep;
            for (int i = 0; i < width; i += V.Count)
                V.Store(V.Multiply(V.Load(state + StateHeader + i), V.Create(keep)), state + StateHeader + i);
        }
        V sum = V.Zero, maximum = V.Create(state[0]), remainder = V.Create(TElement.Remainder);
        for (int i = 0; i < padded; i += V.Count)
        {
            V logit = V.Load(weights + i);
            if (TElement.Remainder != 1f) logit = V.Multiply(logit, remainder);
            V weight = Exp2<V>.Of(V.Subtract(logit, maximum));
            sum = V.Add(sum, weight);
            if (TElement.Remainder != 1f) weight = V.Multiply(weight, remainder);
            V.Store(weight, weights + i);
        }
        state[1] += V.Sum(sum);
    }

    private readonly void Merge(int unit, int head, int splits)
    {
        float maximum = float.NegativeInfinity, sum = 0;
        for (int s = 0; s < splits; s++) maximum = MathF.Max(maximum, State(unit, s, head)[0]);
        float* total = State(unit, 0, head);
        int width = Width;
        for (int s = 0; s < splits; s++)
        {
            float* part = State(unit, s, head);
            float weight = part[1] == 0 ? 0 : MathF.Pow(2f, part[0] - maximum);
            sum += weight * part[1];
            for (int i = StateHeader; i < StateHeader + width; i += V.Count)
            {
                V scaled = V.Multiply(V.Load(part + i), V.Create(weight));
                V.Store(s == 0 ? scaled : V.Add(V.Load(total + i), scaled), total + i);
            }
        }
        DecodeKernels<V, TElement>.Finish(total + StateHeader, sum, Shape.HeadDim, Y + ((long)unit * HeadsPerSet + head) * Shape.HeadDim);
    }
}
