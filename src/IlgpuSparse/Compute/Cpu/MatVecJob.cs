using IlgpuSparse.Compute.Cpu.Weights;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Matrix times vector: the weights stream from memory once, decoded in registers.</summary>
internal unsafe struct MatVecJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // Large enough that taking a task costs nothing, small enough that the workers end together.
    private const long TaskBytes = 256 * 1024;

    private MatMulOperands _operands;
    private int _taskOutputs;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        int taskOutputs = (int)Math.Clamp(TaskBytes / operands.RowBytes, 1, operands.Outputs);
        var job = new MatVecJob<V, F> { _operands = operands, _taskOutputs = taskOutputs };
        pool.Run(ref job, (operands.Outputs + taskOutputs - 1) / taskOutputs);
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
