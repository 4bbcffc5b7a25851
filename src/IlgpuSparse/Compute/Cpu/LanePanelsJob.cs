namespace IlgpuSparse.Compute.Cpu;

/// <summary>Fills <see cref="LanePanels"/> that all workers read.</summary>
internal unsafe struct LanePanelsJob : IParallelJob
{
    // A task's numbers: enough to be worth a parallel region.
    private const int TaskNumbers = 32 * 1024;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private LanePanels _panels;
    private int _taskColumns;

    /// <summary><paramref name="panels"/> with the rows of <paramref name="operands"/>, in <see cref="CpuScratch.Rows"/>.</summary>
    public static LanePanels Fill(WorkerPool pool, in MatMulOperands operands, in LanePanels panels)
    {
        int taskColumns = Math.Max(1, TaskNumbers / panels.Lanes / PanelPacking.ChunkColumns) * PanelPacking.ChunkColumns;
        var job = new LanePanelsJob { _operands = operands, _pool = pool, _panels = panels with { Data = (nint)pool.Scratch.Rows.Floats(panels.Floats) }, _taskColumns = taskColumns };
        pool.Run(ref job, (operands.Columns + taskColumns - 1) / taskColumns);
        return job._panels;
    }

    public readonly void Execute(int task, int worker) =>
        _panels.Fill(_operands, task * _taskColumns, Math.Min((task + 1) * _taskColumns, _operands.Columns), _pool.Scratch.Worker(worker).Floats(_panels.CopiedFloats));
}
