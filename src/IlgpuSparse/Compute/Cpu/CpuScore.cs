using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu.Labels;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Approximate logits from labels: reads every visible token's label once for all query heads of its group.</summary>
internal static unsafe class CpuScore
{
    private const int BlockTiles = KvLayer.BlockTokens / LabelLayer.TileTokens;

    // Codes are fetched this far ahead, a step at a time: blocks lie anywhere, and the processor's own prefetch stops at every page. More lines at once than a core can have
    // under way would only hold up the scoring.
    private const int AheadBytes = 4096, StepBytes = 1024;

    // Blocks a task at least: below this the tables cost more than the labels.
    private const int LeastBlocks = 4;

    /// <summary>
    /// See <see cref="ComputeBackend.Score"/>. Whoever has finished the scores of a kv head goes on with <paramref name="selection"/> for its sets, while they are in its caches and without
    /// waiting for the others, and with <paramref name="attend"/>, where <see cref="IsWhole"/> allows it. Then a worker's scores of one head take the place of those of its last one, so that they never leave its caches.
    /// </summary>
    public static void Run(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores, SelectJob? selection = null, SetBody attend = default)
    {
        if (labels.Format is LabelFormat.Int4 or LabelFormat.Int2 or LabelFormat.Int1)
        {
            if (Avx512F.IsSupported) Run<NibbleScorer, Simd512>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
            else if (Avx2.IsSupported) Run<CrumbScorer, Simd256>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
            else Run<FieldScorer<Simd128>, Simd128>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
        }
        else if (Vector512.IsHardwareAccelerated) RunPlain<Simd512>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
        else if (Vector256.IsHardwareAccelerated) RunPlain<Simd256>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
        else RunPlain<Simd128>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
    }

    /// <summary>Whether every worker has whole kv heads enough to do, so that nothing is gained by cutting them up.</summary>
    public static bool IsWhole(WorkerPool pool, AttentionShape shape, StepBatch batch)
    {
        int streams = batch.Rows * shape.KvHeads;
        return streams >= 8 * pool.Workers || streams > 2 * pool.Workers && streams % pool.Workers == 0;
    }

    /// <summary>With vectors of a given width and without lookups.</summary>
    public static void RunPlain<V>(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores, SelectJob? selection = null, SetBody attend = default)
        where V : struct, ISimd<V>
    {
        if (labels.Format == LabelFormat.F16) Run<HalfScorer<V>, V>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
        else Run<FieldScorer<V>, V>(pool, shape, labels, batch, q, reduction, scores, selection, attend);
    }

    /// <summary>With a given scorer, which must know the format.</summary>
    public static void Run<TScorer, V>(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores, SelectJob? selection = null, SetBody attend = default)
        where TScorer : struct, ILabelScorer
        where V : struct, ISimd<V>
    {
        if (scores.Sets != shape.KvHeads && scores.Sets != shape.Heads)
            throw new ArgumentException($"scores of {scores.Sets} sets fit neither {shape.Heads} heads nor {shape.KvHeads} kv heads", nameof(scores));
        if (scores.Capacity < batch.MaxLength || scores.Capacity % LabelLayer.TileTokens != 0)
            throw new ArgumentException($"scores of {scores.Capacity} tokens: {batch.MaxLength} rounded up to {LabelLayer.TileTokens} are needed", nameof(scores));
        int blocks = (batch.MaxLength + KvLayer.BlockTokens - 1) >> KvLayer.BlockShift, streams = batch.Rows * shape.KvHeads;
        if (streams == 0) return;
        int chunks = attend.Exists ? 1 : Math.Clamp(4 * pool.Workers / streams, 1, Math.Max(1, blocks / LeastBlocks));
        int chunkBlocks = (blocks + chunks - 1) / chunks;
        var pointers = new LabelPointers(labels, shape);
        var job = new Job<TScorer, V>
        {
            Shape = shape,
            Labels = pointers,
            Coding = new LabelCoding(labels.Format, labels.Channels, labels.Words, pointers.IsStatic ? ((1 << pointers.Bits) - 1) * 0.5f : 0),
            Queries = CpuBuffer.Pointer<float>(q),
            Scores = CpuBuffer.Pointer<float>(scores.Buffer),
            Capacity = scores.Capacity,
            Sets = scores.Sets,
            SumQueries = scores.Sets == shape.KvHeads && reduction == GroupReduction.Sum,
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            BlockTable = CpuBuffer.Pointer<int>(batch.BlockTable),
            TableStride = batch.IsPrefill ? 0 : batch.MaxBlocks,
            ChunkBlocks = chunkBlocks,
            Chunks = chunks,
            Scratch = pool.Scratch,
        };
        if (selection is { } select)
        {
            job.Selects = true;
            job.Selection = select;
            job.Attend = attend;
        }
        if (chunks > 1 && job.Selects)
        {
            job.Finished = (int*)pool.Scratch.Attention.Reserve((long)streams * sizeof(int));
            new Span<int>(job.Finished, streams).Clear();
        }
        pool.Run(ref job, streams * chunks);
    }

    private struct Job<TScorer, V> : IParallelJob
        where TScorer : struct, ILabelScorer
        where V : struct, ISimd<V>
    {
        public AttentionShape Shape;
        public LabelPointers Labels;
        public LabelCoding Coding;
        public float* Queries, Scores;
        public int* Positions, BlockTable;
        public int Capacity, Sets, TableStride, ChunkBlocks, Chunks;
        public bool SumQueries;
        public CpuScratch Scratch;
        public SelectJob Selection;
        public SetBody Attend;
        public bool Selects;
        /// <summary>Finished chunks a stream, where there are several and a selection follows.</summary>
        public int* Finished;

        public readonly void Execute(int task, int worker)
        {
            int stream = task / Chunks;
            Score(stream, task - stream * Chunks, worker);
            if (!Selects || Finished != null && Interlocked.Increment(ref Finished[stream]) < Chunks) return;
            int sets = Sets / Shape.KvHeads;
            for (int set = 0; set < sets; set++)
            {
                Selection.Execute(stream * sets + set, worker, ScoresOf(stream, worker) + (long)set * Capacity);
                if (Attend.Exists) Attend.Execute(stream * sets + set, worker);
            }
        }

        // The scores of a stream's first set.
        private readonly float* ScoresOf(int stream, int worker) => Scores + (long)(Attend.Exists ? worker : stream) * (Sets / Shape.KvHeads) * Capacity;

        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private readonly void Score(int stream, int chunk, int worker)
        {
            int row = stream / Shape.KvHeads, kvHead = stream - row * Shape.KvHeads, position = Positions[row];
            int firstTile = Math.Max(Shape.FirstVisible(position) / LabelLayer.TileTokens, chunk * ChunkBlocks * BlockTiles);
            int endTile = Math.Min(position / LabelLayer.TileTokens + 1, (chunk + 1) * ChunkBlocks * BlockTiles);
            if (firstTile >= endTile) return;

            int heads = SumQueries ? 1 : Shape.GroupSize, tableFloats = TScorer.TableFloats(Coding), weightFloats = (Coding.PaddedChannels + 15) & ~15;
            bool reduce = Sets == Shape.KvHeads && heads > 1;
            float* weights = Scratch.Worker(worker).Floats(weightFloats + (long)heads * (tableFloats + 16) + (reduce ? heads * KvLayer.BlockTokens : 0));
            float* tables = weights + weightFloats, querySums = tables + (long)heads * tableFloats, group = querySums + heads * 16;
            for (int h = 0; h < heads; h++)
            {
                querySums[h] = Weigh(row, kvHead, h, weights);
                TScorer.Prepare(Coding, weights, tables + h * tableFloats);
            }

            float* output = ScoresOf(stream, worker);
            int* table = BlockTable + (long)row * TableStride;
            int tileBytes = LabelLayer.TileTokens * sizeof(uint) * Coding.Words;
            int stepTiles = RoundDown(Math.Clamp(StepBytes / tileBytes, 1, BlockTiles)), aheadTiles = Math.Max(AheadBytes / tileBytes, stepTiles);
            for (int tile = firstTile; tile < endTile;)
            {
                int block = table[tile / BlockTiles], inBlock = tile % BlockTiles, count = Math.Min(endTile - tile, stepTiles - inBlock % stepTiles);
                uint* codes = Labels.Block(block, kvHead) + (long)inBlock * LabelLayer.TileTokens * Coding.Words;
                if (Sse.IsSupported && tile + aheadTiles < endTile) Prefetch(table[(tile + aheadTiles) / BlockTiles], kvHead, (tile + aheadTiles) % BlockTiles, count);
                float* raw = reduce ? group : output + (long)tile * LabelLayer.TileTokens;
                long stride = reduce ? KvLayer.BlockTokens : Capacity;
                TScorer.Score(Coding, codes, count, tables, heads, raw, stride);
                if (Labels.IsPerToken) ApplyTokenScales(Labels.BlockScales(block, kvHead) + inBlock * LabelLayer.TileTokens, count, querySums, heads, raw, stride);
                if (reduce) TakeMaximum(raw, heads, count, output + (long)tile * LabelLayer.TileTokens);
                tile += count;
            }
        }

        private readonly void Prefetch(int block, int kvHead, int inBlock, int tiles)
        {
            const int Line = 64;
            tiles = Math.Min(tiles, BlockTiles - inBlock);
            byte* codes = (byte*)(Labels.Block(block, kvHead) + (long)inBlock * LabelLayer.TileTokens * Coding.Words);
            for (int i = 0; i < tiles * Coding.Words; i++) Sse.Prefetch0(codes + i * Line);
            if (!Labels.IsPerToken) return;
            byte* scales = (byte*)(Labels.BlockScales(block, kvHead) + inBlock * LabelLayer.TileTokens);
            for (int i = 0; i < tiles; i++) Sse.Prefetch0(scales + i * Line);
        }

        // A power of two divides a block, so that no step crosses its end.
        private static int RoundDown(int tiles) => 1 << BitOperations.Log2((uint)tiles);

        // The query at the label's channels, with 1/√d and the steps folded in; of the whole group when its queries are summed. Returns the sum over the channels.
        private readonly float Weigh(int row, int kvHead, int head, float* weights)
        {
            int d = Shape.HeadDim, heads = SumQueries ? Shape.GroupSize : 1;
            float* q = Queries + ((long)row * Shape.Heads + kvHead * Shape.GroupSize + head) * d;
            int* indices = Labels.Indices + (long)kvHead * Coding.Channels;
            double sum = 0, scale = 1 / Math.Sqrt(d);
            for (int i = 0; i < Coding.Channels; i++)
            {
                int channel = indices[i];
                double x = 0;
                for (int g = 0; g < heads; g++) x += q[g * d + channel];
                x *= scale;
                if (Labels.IsStatic) x *= Labels.Steps[(long)kvHead * Coding.Channels + i];
                weights[i] = (float)x;
                sum += x;
            }
            for (int i = Coding.Channels; i < Coding.PaddedChannels; i++) weights[i] = 0;
            return (float)sum;
        }

        private static void ApplyTokenScales(uint* tokenScales, int tiles, float* querySums, int heads, float* scores, long stride)
        {
            V unit = V.Create(HalfLanes.Unit);
            for (int t = 0; t < tiles * LabelLayer.TileTokens; t += V.Count)
            {
                V pair = V.Load((float*)(tokenScales + t)), step = V.Multiply(HalfLanes.Low(pair), unit), minimum = V.Multiply(HalfLanes.High(pair), unit);
                for (int h = 0; h < heads; h++)
                {
                    float* target = scores + h * stride + t;
                    V.Store(V.MultiplyAdd(V.Load(target), step, V.Multiply(minimum, V.Create(querySums[h]))), target);
                }
            }
        }

        private static void TakeMaximum(float* group, int heads, int tiles, float* scores)
        {
            for (int t = 0; t < tiles * LabelLayer.TileTokens; t += V.Count)
            {
                V best = V.Load(group + t);
                for (int h = 1; h < heads; h++) best = V.Max(best, V.Load(group + h * KvLayer.BlockTokens + t));
                V.Store(best, scores + t);
            }
        }
    }
}
