using System.Runtime.CompilerServices;
using IlgpuSparse.Compute.Cpu.Weights;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Two to eight rows of X: a decode batch. Memory is still what limits, so each row of W is read once, decoded into the first-level cache, and multiplied with all rows of X.
/// </summary>
internal unsafe struct FewRowsJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    private const long TaskBytes = 64 * 1024;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private int _taskOutputs;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        int taskOutputs = (int)Math.Clamp(TaskBytes / operands.RowBytes, 2, Math.Max(2, operands.Outputs)) & ~1;
        var job = new FewRowsJob<V, F> { _operands = operands, _pool = pool, _taskOutputs = taskOutputs };
        pool.Run(ref job, (operands.Outputs + taskOutputs - 1) / taskOutputs);
    }

    public void Execute(int task, int worker)
    {
        int first = task * _taskOutputs, end = Math.Min(first + _taskOutputs, _operands.Outputs);
        int columns = _operands.Columns;
        float* decoded = typeof(F) == typeof(F32Weights) ? null : _pool.Scratch.Worker(worker).Floats(2L * columns);
        for (int output = first; output < end; output += 2)
        {
            bool pair = output + 1 < end;
            float* a = (float*)_operands.WeightRow(output), b = pair ? (float*)_operands.WeightRow(output + 1) : a;
            if (typeof(F) != typeof(F32Weights))
            {
                F.Dequantise<V>((byte*)a, decoded, columns);
                if (pair) F.Dequantise<V>((byte*)b, decoded + columns, columns);
                a = decoded;
                b = pair ? decoded + columns : decoded;
            }
            int row = 0;
            for (; row + 4 <= _operands.Rows; row += 4) Products4(a, b, row, output, pair);
            for (; row < _operands.Rows; row++) Products1(a, b, row, output, pair);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Products4(float* a, float* b, int row, int output, bool pair)
    {
        int columns = _operands.Columns;
        float* x0 = _operands.XRow(row), x1 = x0 + columns, x2 = x1 + columns, x3 = x2 + columns;
        V a0 = V.Zero, a1 = V.Zero, a2 = V.Zero, a3 = V.Zero, b0 = V.Zero, b1 = V.Zero, b2 = V.Zero, b3 = V.Zero;
        int c = 0;
        for (; c <= columns - V.Count; c += V.Count)
        {
            V wa = V.Load(a + c), wb = V.Load(b + c), x = V.Load(x0 + c);
            a0 = V.MultiplyAdd(wa, x, a0);
            b0 = V.MultiplyAdd(wb, x, b0);
            x = V.Load(x1 + c);
            a1 = V.MultiplyAdd(wa, x, a1);
            b1 = V.MultiplyAdd(wb, x, b1);
            x = V.Load(x2 + c);
            a2 = V.MultiplyAdd(wa, x, a2);
            b2 = V.MultiplyAdd(wb, x, b2);
            x = V.Load(x3 + c);
            a3 = V.MultiplyAdd(wa, x, a3);
            b3 = V.MultiplyAdd(wb, x, b3);
        }
        Finish(a, x0, c, row, output, V.Sum(a0));
        Finish(a, x1, c, row + 1, output, V.Sum(a1));
        Finish(a, x2, c, row + 2, output, V.Sum(a2));
        Finish(a, x3, c, row + 3, output, V.Sum(a3));
        if (!pair) return;
        Finish(b, x0, c, row, output + 1, V.Sum(b0));
        Finish(b, x1, c, row + 1, output + 1, V.Sum(b1));
        Finish(b, x2, c, row + 2, output + 1, V.Sum(b2));
        Finish(b, x3, c, row + 3, output + 1, V.Sum(b3));
    }

    // Sums in the same order as Products4, so that a row's result does not depend on its place in the batch.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Products1(float* a, float* b, int row, int output, bool pair)
    {
        float* x0 = _operands.XRow(row);
        V a0 = V.Zero, b0 = V.Zero;
        int c = 0;
        for (; c <= _operands.Columns - V.Count; c += V.Count)
        {
            V x = V.Load(x0 + c);
            a0 = V.MultiplyAdd(V.Load(a + c), x, a0);
            b0 = V.MultiplyAdd(V.Load(b + c), x, b0);
        }
        Finish(a, x0, c, row, output, V.Sum(a0));
        if (pair) Finish(b, x0, c, row, output + 1, V.Sum(b0));
    }

    // The columns after the last whole vector, and the store.
    private readonly void Finish(float* w, float* x, int column, int row, int output, float sum)
    {
        for (; column < _operands.Columns; column++) sum += w[column] * x[column];
        _operands.YRow(row)[output] = _operands.Start(row, output) + sum;
    }
}
