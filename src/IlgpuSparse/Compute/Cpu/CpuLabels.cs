using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu.Labels;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Writes labels: each row's keys, quantised and packed, into the label cache at the row's position.</summary>
internal static unsafe class CpuLabels
{
    // Labels (row, kv head) a task: a decode step's few are not worth waking anybody.
    private const int TaskLabels = 64;

    public static void Append(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k)
    {
        if (Vector512.IsHardwareAccelerated) Append<Simd512>(pool, shape, labels, batch, k);
        else if (Vector256.IsHardwareAccelerated) Append<Simd256>(pool, shape, labels, batch, k);
        else Append<Simd128>(pool, shape, labels, batch, k);
    }

    /// <summary>With vectors of a given width.</summary>
    public static void Append<V>(WorkerPool pool, AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) where V : struct, ISimd<V>
    {
        var job = new Job<V>
        {
            Labels = new LabelPointers(labels, shape),
            Keys = CpuBuffer.Pointer<float>(k),
            HeadDim = shape.HeadDim,
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            BlockTable = CpuBuffer.Pointer<int>(batch.BlockTable),
            TableStride = batch.IsPrefill ? 0 : batch.MaxBlocks,
            Total = checked(batch.Rows * shape.KvHeads),
            Scratch = pool.Scratch,
        };
        pool.Run(ref job, (job.Total + TaskLabels - 1) / TaskLabels);
    }

    private struct Job<V> : IParallelJob where V : struct, ISimd<V>
    {
        public LabelPointers Labels;
        public float* Keys;
        public int* Positions, BlockTable;
        public int HeadDim, TableStride, Total;
        public CpuScratch Scratch;

        public readonly void Execute(int task, int worker)
        {
            int padded = (Labels.Channels + 15) & ~15;
            float* values = Scratch.Worker(worker).Floats(2 * padded + 16);
            var quantiser = new LabelQuantiser<V>(Labels, values, (uint*)(values + padded));
            int end = Math.Min(Total, (task + 1) * TaskLabels);
            for (int item = task * TaskLabels; item < end; item++)
            {
                int row = item / Labels.KvHeads, head = item - row * Labels.KvHeads, position = Positions[row];
                int block = BlockTable[(long)row * TableStride + (position >> KvLayer.BlockShift)];
                quantiser.Write(Keys + (long)item * HeadDim, head, block, position & (KvLayer.BlockTokens - 1));
            }
        }
    }
}
