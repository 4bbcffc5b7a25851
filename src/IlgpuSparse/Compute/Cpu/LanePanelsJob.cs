namespace IlgpuSparse.Compute.Cpu;

/// <summary>Transposes X to <see cref="LanePanels"/>.</summary>
internal unsafe struct LanePanelsJob<V> : IParallelJob where V : struct, ISimd<V>
{
    // Small products are not worth another parallel region: a single task runs where it is asked for.
    private const int TaskNumbers = 64 * 1024;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private LanePanels _panels;
    private int _taskColumns;

    /// <summary>The panels of X of <paramref name="operands"/>, in <see cref="CpuScratch.Rows"/>.</summary>
    public static LanePanels Pack(WorkerPool pool, in MatMulOperands operands)
    {
        int lanes = (operands.Rows + V.Count - 1) / V.Count * V.Count;
        int taskColumns = Math.Max(1, TaskNumbers / lanes / PanelPacking.ChunkColumns) * PanelPacking.ChunkColumns;
        var job = new LanePanelsJob<V>
        {
            _operands = operands,
            _pool = pool,
            _panels = new LanePanels((nint)pool.Scratch.Rows.Floats((long)lanes * operands.Columns), operands.Columns, lanes, GemmTile.PanelVectors * V.Count),
            _taskColumns = taskColumns,
        };
        pool.Run(ref job, (operands.Columns + taskColumns - 1) / taskColumns);
        return job._panels;
    }

    public readonly void Execute(int task, int worker)
    {
        int end = Math.Min((task + 1) * _taskColumns, _operands.Columns);
        float* copied = _pool.Scratch.Worker(worker).Floats(PanelPacking.UnpackedFloats(_panels.Most));
        for (int column = task * _taskColumns; column < end; column += PanelPacking.ChunkColumns)
        {
            int columns = Math.Min(PanelPacking.ChunkColumns, end - column);
            for (int lane = 0; lane < _panels.Lanes; lane += _panels.Width(lane))
            {
                // copied first: in place, rows of 4096 numbers would all compete for the same lines of the cache
                int width = _panels.Width(lane);
                for (int i = 0; i < width; i++)
                {
                    var row = new Span<float>(copied + i * PanelPacking.UnpackedStride, columns);
                    if (lane + i < _operands.Rows) new ReadOnlySpan<float>(_operands.XRow(lane + i) + column, columns).CopyTo(row);
                    else row.Clear();
                }
                PanelPacking.Transpose(copied, PanelPacking.UnpackedStride, columns, _panels.At(lane, column), width);
            }
        }
    }
}
