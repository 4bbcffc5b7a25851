using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Every head's vector times the matrix of its kv head.</summary>
internal static unsafe class CpuProjectHeads
{
    // Vectors a task: a decode step's few are not worth waking anybody.
    private const int TaskVectors = 32;

    public static void Run(WorkerPool pool, HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y)
    {
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(pool, projection, heads, x, rows, y);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(pool, projection, heads, x, rows, y);
        else Run<Simd128>(pool, projection, heads, x, rows, y);
    }

    /// <summary>With vectors of a given width.</summary>
    public static void Run<V>(WorkerPool pool, HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) where V : struct, ISimd<V>
    {
        var job = new Job<V>
        {
            X = CpuBuffer.Pointer<float>(x),
            Y = CpuBuffer.Pointer<float>(y),
            Matrix = CpuBuffer.Pointer<float>(projection.Matrix),
            Heads = heads,
            Group = heads / projection.KvHeads,
            Inputs = projection.Inputs,
            PaddedInputs = projection.PaddedInputs,
            Outputs = projection.Outputs,
            Rows = rows,
            RowTasks = (rows + TaskVectors - 1) / TaskVectors,
        };
        // few rows: all heads in one task
        if (rows * heads <= TaskVectors)
        {
            for (int head = 0; head < heads; head++) job.Execute(head * job.RowTasks, 0);
            return;
        }
        pool.Run(ref job, heads * job.RowTasks);
    }

    private struct Job<V> : IParallelJob where V : struct, ISimd<V>
    {
        public float* X, Y, Matrix;
        public int Heads, Group, Inputs, PaddedInputs, Outputs, Rows, RowTasks;

        public readonly void Execute(int task, int worker)
        {
            int head = task / RowTasks, first = task % RowTasks * TaskVectors, end = Math.Min(Rows, first + TaskVectors);
            float* matrix = Matrix + (long)(head / Group) * PaddedInputs * Outputs;
            for (int row = first; row < end; row++) Multiply(X + ((long)row * Heads + head) * Inputs, matrix, Inputs, Outputs, Y + ((long)row * Heads + head) * Outputs);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private static void Multiply(float* x, float* matrix, int inputs, int outputs, float* y)
        {
            int o = 0;
            for (; o + 4 * V.Count <= outputs; o += 4 * V.Count)
            {
                V a = V.Zero, b = V.Zero, c = V.Zero, d = V.Zero;
                float* m = matrix + o;
                for (int i = 0; i < inputs; i++, m += outputs)
                {
                    V value = V.Create(x[i]);
                    a = V.MultiplyAdd(value, V.Load(m), a);
                    b = V.MultiplyAdd(value, V.Load(m + V.Count), b);
                    c = V.MultiplyAdd(value, V.Load(m + 2 * V.Count), c);
                    d = V.MultiplyAdd(value, V.Load(m + 3 * V.Count), d);
                }
                V.Store(a, y + o);
                V.Store(b, y + o + V.Count);
                V.Store(c, y + o + 2 * V.Count);
                V.Store(d, y + o + 3 * V.Count);
            }
            for (; o < outputs; o += V.Count)
            {
                V a = V.Zero;
                float* m = matrix + o;
                for (int i = 0; i < inputs; i++, m += outputs) a = V.MultiplyAdd(V.Create(x[i]), V.Load(m), a);
                V.Store(a, y + o);
            }
        }
    }
}
