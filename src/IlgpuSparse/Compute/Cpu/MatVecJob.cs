using IlgpuSparse.Compute.Cpu.Weights;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Matrix times vector: the weights stream from memory once, decoded in registers.</summary>
internal unsafe struct MatVecJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // Large enough that taking a task costs nothing, small enough that the workers end together; small matrices are cut down to what is still worth another core.
    private const long MostBytes = 256 * 1024, LeastBytes = 16 * 1024;
    private const int TasksPerWorker = 4;

    private MatMulOperands _operands;
    private int _taskOutputs;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        int taskOutputs = TaskOutputs(pool, operands);
        var job = new MatVecJob<V, F> { _operands = operands, _taskOutputs = taskOutputs };
        pool.Run(ref job, (operands.Outputs + taskOutputs - 1) / taskOutputs);
    }

    /// <summary>Rows of W a task: of so many bytes at least, as far as there are as many.</summary>
    public static int TaskOutputs(WorkerPool pool, in MatMulOperands operands, long leastBytes = LeastBytes)
    {
        long even = operands.Outputs * operands.RowBytes / (TasksPerWorker * pool.Workers);
        return (int)Math.Clamp(Math.Clamp(even, leastBytes, MostBytes) / operands.RowBytes, 1, operands.Outputs);
    }

    public void Execute(int task, int worker)
    {
        int first = task * _taskOutputs, end = Math.Min(first + _taskOutputs, _operands.Outputs);
        long rowBytes = _operands.RowBytes;
        byte* weight = _operands.WeightRow(first);
        float* x = _operands.XRow(0), y = _operands.YRow(0);
        for (int output = first; output < end; output++, weight += rowBytes)
            y[output] = _operands.Start(0, output) + F.Dot<V>(weight, x, _operands.Columns);
    }
}
