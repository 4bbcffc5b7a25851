namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Copies X for the blocked product: to whole tiles, with rows of zeros at the end, and to a distance between rows that spreads a tile over the first-level cache. In place, rows
/// of 4096 numbers would all compete for the same twelve lines.
/// </summary>
internal unsafe struct TiledRowsJob : IParallelJob
{
    private const int LineFloats = 16, CacheSets = 64, TaskNumbers = 32 * 1024;

    private float* _source, _target;
    private int _rows, _columns, _taskRows, _paddedRows;
    private long _stride;

    /// <summary>The copy, in <see cref="CpuScratch.Rows"/>, with its rows <paramref name="stride"/> floats apart.</summary>
    public static float* Copy(WorkerPool pool, float* x, int rows, int columns, int tileRows, out long stride)
    {
        // Half the sets from row to row: a tile's rows by 32 lines then fill all sets alike.
        long lines = (columns + LineFloats - 1) / LineFloats;
        lines += (CacheSets + CacheSets / 2 - lines % CacheSets) % CacheSets;
        stride = lines * LineFloats;
        int paddedRows = (rows + tileRows - 1) / tileRows * tileRows, taskRows = Math.Max(1, TaskNumbers / columns);
        var job = new TiledRowsJob
        {
            _source = x,
            _target = pool.Scratch.Rows.Floats(paddedRows * stride),
            _rows = rows,
            _columns = columns,
            _taskRows = taskRows,
            _paddedRows = paddedRows,
            _stride = stride,
        };
        pool.Run(ref job, (paddedRows + taskRows - 1) / taskRows);
        return job._target;
    }

    public readonly void Execute(int task, int worker)
    {
        int end = Math.Min(_paddedRows, (task + 1) * _taskRows);
        for (int row = task * _taskRows; row < end; row++)
        {
            var target = new Span<float>(_target + row * _stride, _columns);
            if (row < _rows) new ReadOnlySpan<float>(_source + (long)row * _columns, _columns).CopyTo(target);
            else target.Clear();
        }
    }
}
