namespace IlgpuSparse.Compute.Cpu;

/// <summary>Sums of V as tokens come, and the mean-value correction.</summary>
internal static unsafe class CpuMeanValue
{
    /// <summary>See <see cref="ComputeBackend.AppendValueSums"/>.</summary>
    public static void Append(WorkerPool pool, AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch)
    {
        var job = Create(shape, cache, sums, batch, null, default);
        pool.Run(ref job, batch.IsPrefill ? shape.KvHeads : batch.Rows * shape.KvHeads);
    }

    /// <summary>See <see cref="ComputeBackend.BlendMeanValue"/>.</summary>
    public static void Blend(WorkerPool pool, AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y)
    {
        if (sets.Shares is null) throw new ArgumentException("the token sets have no shares of the mass", nameof(sets));
        var job = Create(shape, cache, sums, batch, sets, y);
        pool.Run(ref job, batch.Rows * shape.KvHeads);
    }

    private static Job Create(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets? sets, DeviceSpan y) => new()
    {
        Shape = shape,
        Format = cache.Format,
        V = CpuBuffer.Pointer<byte>(cache.V),
        Scales = cache.VScales is null ? null : CpuBuffer.Pointer<float>(cache.VScales),
        Sums = CpuBuffer.Pointer<float>(sums.Sums),
        Counts = CpuBuffer.Pointer<int>(sums.Counts),
        Positions = CpuBuffer.Pointer<int>(batch.Positions),
        BlockTable = CpuBuffer.Pointer<int>(batch.BlockTable),
        BlockStride = batch.IsPrefill ? 0 : batch.MaxBlocks,
        Rows = batch.IsPrefill ? batch.Rows : 1,
        Shares = sets is null ? null : CpuBuffer.Pointer<float>(sets.Shares!),
        Sets = sets?.Sets ?? 0,
        Y = sets is null ? null : CpuBuffer.Pointer<float>(y),
    };

    private struct Job : IParallelJob
    {
        public AttentionShape Shape;
        public KvFormat Format;
        public byte* V;
        public float* Scales, Sums, Shares, Y;
        public int* Counts, Positions, BlockTable;
        public int BlockStride, Rows, Sets;

        public readonly void Execute(int task, int worker)
        {
            int row = task / Shape.KvHeads, kvHead = task % Shape.KvHeads;
            int* blocks = BlockTable + (long)row * BlockStride;
            if (Y != null) Blend(row, kvHead, blocks, Positions[row]);
            else for (int i = 0; i < Rows; i++) Add(kvHead, blocks, Positions[row + i]);
        }

        // One more token, which is the last of its sequence.
        private readonly void Add(int kvHead, int* blocks, int position)
        {
            int d = Shape.HeadDim, inBlock = position & (KvLayer.BlockTokens - 1), index = position >> KvLayer.BlockShift;
            long slot = (long)blocks[index] * Shape.KvHeads + kvHead;
            float* own = Sums + slot * 2 * d, before = own + d;
            if (inBlock == 0)
            {
                float* earlier = index == 0 ? null : Sums + ((long)blocks[index - 1] * Shape.KvHeads + kvHead) * 2 * d;
                for (int c = 0; c < d; c++) before[c] = earlier == null ? 0 : earlier[d + c] + earlier[c];
            }
            int start = inBlock > 0 && Counts[slot] == inBlock ? inBlock : 0;
            if (start == 0) new Span<float>(own, d).Clear();
            for (int i = start; i <= inBlock; i++) AddRow((slot << KvLayer.BlockShift) + i, 1, own);
            Counts[slot] = inBlock + 1;
        }

        private readonly void Blend(int row, int kvHead, int* blocks, int position)
        {
            int d = Shape.HeadDim, first = Shape.FirstVisible(position);
            float* mean = stackalloc float[256];
            float* last = Slot(blocks, position, kvHead, out _), begin = Slot(blocks, first, kvHead, out long slot);
            // blocks next to each other need no sums of everything before, whose rounding would show in a short window
            int between = (position >> KvLayer.BlockShift) - (first >> KvLayer.BlockShift);
            for (int c = 0; c < d; c++) mean[c] = last[c] + (between == 0 ? 0 : between == 1 ? begin[c] : last[d + c] - begin[d + c]);
            for (int i = 0; i < (first & (KvLayer.BlockTokens - 1)); i++) AddRow((slot << KvLayer.BlockShift) + i, -1, mean);
            float share = 1f / (position + 1 - first);
            for (int h = kvHead * Shape.GroupSize; h < (kvHead + 1) * Shape.GroupSize; h++)
            {
                float alpha = Shares[(long)row * Sets + (Sets == Shape.Heads ? h : kvHead)];
                float* y = Y + ((long)row * Shape.Heads + h) * d;
                for (int c = 0; c < d; c++) y[c] = alpha * y[c] + (1 - alpha) * (mean[c] * share);
            }
        }

        private readonly float* Slot(int* blocks, int position, int kvHead, out long slot)
        {
            slot = (long)blocks[position >> KvLayer.BlockShift] * Shape.KvHeads + kvHead;
            return Sums + slot * 2 * Shape.HeadDim;
        }

        private readonly void AddRow(long row, float sign, float* target)
        {
            int d = Shape.HeadDim;
            byte* source = V + row * d * Format.ElementBytes();
            float scale = Scales == null ? sign : sign * Scales[row];
            for (int c = 0; c < d; c++)
            {
                float value = Format switch
                {
                    KvFormat.F32 => ((float*)source)[c],
                    KvFormat.F16 => (float)((Half*)source)[c],
                    KvFormat.BF16 => BitConverter.UInt32BitsToSingle((uint)((ushort*)source)[c] << 16),
                    _ => ((sbyte*)source)[c],
                };
                target[c] += scale * value;
            }
        }
    }
}
