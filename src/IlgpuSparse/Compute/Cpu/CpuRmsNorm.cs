using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Root-mean-square normalisation of rows.</summary>
internal static unsafe class CpuRmsNorm
{
    // Numbers a task: a decode step's few rows are not worth waking anybody.
    private const int TaskNumbers = 32 * 1024;

    public static void Run(WorkerPool pool, DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y)
    {
        float* source = CpuBuffer.Pointer<float>(x), target = CpuBuffer.Pointer<float>(y), scale = CpuVectorOperand.Floats(pool, weight);
        int width = checked(weight.Rows * weight.Columns);
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(pool, source, scale, epsilon, rows, width, target);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(pool, source, scale, epsilon, rows, width, target);
        else Run<Simd128>(pool, source, scale, epsilon, rows, width, target);
    }

    /// <summary>With vectors of a given width: <paramref name="x"/> and <paramref name="y"/> <c>[rows, width]</c>, possibly the same.</summary>
    public static void Run<V>(WorkerPool pool, float* x, float* weight, float epsilon, int rows, int width, float* y) where V : struct, ISimd<V>
    {
        int taskRows = Math.Max(1, TaskNumbers / width);
        var job = new Job<V> { X = x, Weight = weight, Epsilon = epsilon, Rows = rows, Width = width, Y = y, TaskRows = taskRows };
        pool.Run(ref job, (rows + taskRows - 1) / taskRows);
    }

    private struct Job<V> : IParallelJob where V : struct, ISimd<V>
    {
        public float* X, Weight, Y;
        public float Epsilon;
        public int Rows, Width, TaskRows;

        public readonly void Execute(int task, int worker)
        {
            int end = Math.Min(Rows, (task + 1) * TaskRows);
            for (int row = task * TaskRows; row < end; row++) Normalise(X + (long)row * Width, Y + (long)row * Width);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private readonly void Normalise(float* x, float* y)
        {
            // A few hundred squares a lane at most, then in double: the mean is right to a few units in the last place of a float.
            V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
            int c = 0;
            for (; c <= Width - 4 * V.Count; c += 4 * V.Count)
            {
                V a = V.Load(x + c), b = V.Load(x + c + V.Count), d = V.Load(x + c + 2 * V.Count), e = V.Load(x + c + 3 * V.Count);
                s0 = V.MultiplyAdd(a, a, s0);
                s1 = V.MultiplyAdd(b, b, s1);
                s2 = V.MultiplyAdd(d, d, s2);
                s3 = V.MultiplyAdd(e, e, s3);
            }
            double squares = (double)V.Sum(s0) + V.Sum(s1) + V.Sum(s2) + V.Sum(s3);
            for (; c < Width; c++) squares += (double)x[c] * x[c];

            float factor = (float)(1 / Math.Sqrt(squares / Width + Epsilon));
            V f = V.Create(factor);
            for (c = 0; c <= Width - V.Count; c += V.Count) V.Store(V.Multiply(V.Multiply(V.Load(x + c), f), V.Load(Weight + c)), y + c);
            for (; c < Width; c++) y[c] = x[c] * factor * Weight[c];
        }
    }
}
