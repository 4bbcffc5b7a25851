using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Two to twelve rows of X: a decode batch. Each number of W is read and decoded once and multiplied with all rows of X. A group of rows of W is gone over a block of columns at a time, so
/// that the part of X in use and two decoded pieces of W stay in the first-level cache; the sums wait beside as vectors. The next group is fetched meanwhile, in the order in which it lies in memory.
/// </summary>
internal unsafe struct FewRowsJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // A multiple of every format's block; with twelve rows of X 24 KiB of it.
    private const int BlockColumns = 512;

    // Rows of W a group, about: they and the next ones share the second-level cache with X.
    private const int GroupBytes = 32 * 1024;

    // Sums of a group: with narrow matrices they are more than the rows of W, and leave the first-level cache to X and the decoded pieces.
    private const int SumBytes = 16 * 1024;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private int _taskOutputs;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        int taskOutputs = (MatVecJob<V, F>.TaskOutputs(pool, operands) + 3) & ~3;
        var job = new FewRowsJob<V, F> { _operands = operands, _pool = pool, _taskOutputs = taskOutputs };
        pool.Run(ref job, (operands.Outputs + taskOutputs - 1) / taskOutputs);
    }

    public void Execute(int task, int worker)
    {
        int end = Math.Min((task + 1) * _taskOutputs, _operands.Outputs), perOutput = _operands.Rows * V.Count;
        // fours, which are summed up together, whatever the batch: the last ones of all alone are not
        int group = (int)Math.Max(4, Math.Min(GroupBytes / _operands.RowBytes + 3, SumBytes / sizeof(float) / perOutput) & ~3);
        float* sums = _pool.Scratch.Worker(worker).Floats(group * perOutput + 2 * BlockColumns + group);
        float* decoded = sums + group * perOutput, row = decoded + 2 * BlockColumns;
        for (int first = task * _taskOutputs; first < end; first += group)
        {
            int outputs = Math.Min(group, end - first);
            // an odd last output has the sums of two
            new Span<float>(sums, (outputs + 1 & ~1) * perOutput).Clear();
            Multiply(first, outputs, sums, decoded);
            for (int i = 0; i < _operands.Rows; i++)
            {
                float* sum = sums + i * V.Count;
                int output = 0;
                for (; output <= outputs - 4; output += 4, sum += 4 * perOutput) V.Sum4(V.Load(sum), V.Load(sum + perOutput), V.Load(sum + 2 * perOutput), V.Load(sum + 3 * perOutput)).Store(row + output);
                for (; output < outputs; output++, sum += perOutput) row[output] = V.Sum(V.Load(sum));
                _operands.Store<V>(i, first, row, outputs);
            }
        }
    }

    private readonly void Multiply(int first, int outputs, float* sums, float* decoded)
    {
        int rows = _operands.Rows;
        long rowBytes = _operands.RowBytes;
        byte* ahead = _operands.WeightRow(first + outputs);
        for (int column = 0; column < _operands.Columns; column += BlockColumns)
        {
            int columns = Math.Min(BlockColumns, _operands.Columns - column);
            long bytes = _operands.Format.ByteLength(columns);
            byte* weight = _operands.WeightRow(first) + _operands.Format.ByteLength(column);
            for (int output = 0; output < outputs; output += 2, weight += 2 * rowBytes)
            {
                // an odd last row is taken twice, and its second sums are left
                byte* other = output + 1 < outputs ? weight + rowBytes : weight;
                float* a = (float*)weight, b = (float*)other;
                ahead = Prefetch.Lines(ahead, 2 * bytes);
                if (typeof(F) != typeof(F32Weights))
                {
                    a = decoded;
                    b = decoded + BlockColumns;
                    F.Dequantise<V>(weight, a, columns);
                    F.Dequantise<V>(other, b, columns);
                }
                float* target = sums + (long)output * rows * V.Count;
                int row = 0;
                for (; row + 4 <= rows; row += 4) Products4(a, b, column, columns, row, target);
                for (; row < rows; row++) Products1(a, b, column, columns, row, target);
            }
        }
    }

    // Sums are [output, row] vectors.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Products4(float* a, float* b, int column, int columns, int row, float* sums)
    {
        float* x0 = _operands.XRow(row) + column, x1 = x0 + _operands.Columns, x2 = x1 + _operands.Columns, x3 = x2 + _operands.Columns;
        float* sumsA = sums + row * V.Count, sumsB = sumsA + _operands.Rows * V.Count;
        V a0 = V.Load(sumsA), a1 = V.Load(sumsA + V.Count), a2 = V.Load(sumsA + 2 * V.Count), a3 = V.Load(sumsA + 3 * V.Count);
        V b0 = V.Load(sumsB), b1 = V.Load(sumsB + V.Count), b2 = V.Load(sumsB + 2 * V.Count), b3 = V.Load(sumsB + 3 * V.Count);
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
        V.Store(a0, sumsA);
        V.Store(a1, sumsA + V.Count);
        V.Store(a2, sumsA + 2 * V.Count);
        V.Store(a3, sumsA + 3 * V.Count);
        V.Store(b0, sumsB);
        V.Store(b1, sumsB + V.Count);
        V.Store(b2, sumsB + 2 * V.Count);
        V.Store(b3, sumsB + 3 * V.Count);
        if (c == columns) return;
        for (int i = 0; i < 4; i++) AddRest(a, b, x0 + (long)i * _operands.Columns, c, columns, sumsA + i * V.Count, sumsB + i * V.Count);
    }

    // Sums in the same order as Products4, so that a row's result does not depend on its place in the batch.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Products1(float* a, float* b, int column, int columns, int row, float* sums)
    {
        float* x0 = _operands.XRow(row) + column, sumsA = sums + row * V.Count, sumsB = sumsA + _operands.Rows * V.Count;
        V a0 = V.Load(sumsA), b0 = V.Load(sumsB);
        int c = 0;
        for (; c <= columns - V.Count; c += V.Count)
        {
            V x = V.Load(x0 + c);
            a0 = V.MultiplyAdd(V.Load(a + c), x, a0);
            b0 = V.MultiplyAdd(V.Load(b + c), x, b0);
        }
        V.Store(a0, sumsA);
        V.Store(b0, sumsB);
        AddRest(a, b, x0, c, columns, sumsA, sumsB);
    }

    // The columns after the last whole vector, which only the last block has, go to the first lanes.
    private static void AddRest(float* a, float* b, float* x, int column, int columns, float* sumsA, float* sumsB)
    {
        for (; column < columns; column++)
        {
            *sumsA += a[column] * x[column];
            *sumsB += b[column] * x[column];
        }
    }
}
