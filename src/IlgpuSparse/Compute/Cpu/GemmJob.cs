using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Many rows of X: blocked multiplication. X is transposed once (<see cref="LanePanels"/>), so that its rows lie in the lanes of vectors, and the weights, decoded as they lie, are what the
/// register tile broadcasts: no weight is transposed and no vector summed up, only the sums are transposed at the end. Nothing depends on which worker does a task, or when.
/// </summary>
internal unsafe struct GemmJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // A multiple of every format's block. Decoded rows lie a little further apart than a power of two, or they would compete for the same lines of the cache.
    private const int BlockColumns = 512, DecodedStride = BlockColumns + 16;

    // Outputs a group: a few tiles, so that a block of X stays near for them, but no more than what is fetched for the next group stays in the second-level cache.
    private const int MostOutputs = 4 * GemmTile.LaneOutputs, GroupBytes = 64 * 1024;

    // Rows at a time: by 512 columns they are read again for every tile, and are to stay in the second-level cache. More are cut into even parts.
    private const int MostRows = 192;

    // Up to so many numbers every worker transposes for itself what it reads: that takes it less than to wait for another and to fetch the panels from that one's cache.
    private const long OwnNumbers = 64 * 1024;
    private const int MostOwners = 64;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private LanePanels _panels;
    private int _taskOutputs;
    private ulong _filled;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        int panel = GemmTile.PanelVectors * V.Count, parts = (operands.Rows + MostRows - 1) / MostRows;
        int partRows = ((operands.Rows + parts - 1) / parts + panel - 1) / panel * panel, taskOutputs = Tiles(MatVecJob<V, F>.TaskOutputs(pool, operands, leastBytes: 0));
        for (int row = 0; row < operands.Rows; row += partRows)
        {
            var part = operands with { X = (nint)operands.XRow(row), Y = (nint)operands.YRow(row), Rows = Math.Min(partRows, operands.Rows - row) };
            var panels = LanePanels.For<V>(part);
            bool own = panels.Floats <= OwnNumbers && pool.Workers <= MostOwners;
            var job = new GemmJob<V, F> { _operands = part, _pool = pool, _panels = own ? panels : LanePanelsJob.Fill(pool, part, panels), _taskOutputs = taskOutputs };
            pool.Run(ref job, (operands.Outputs + taskOutputs - 1) / taskOutputs);
        }
    }

    private static int Tiles(long outputs) => (int)((outputs + GemmTile.LaneOutputs - 1) / GemmTile.LaneOutputs) * GemmTile.LaneOutputs;

    public void Execute(int task, int worker)
    {
        int end = Math.Min((task + 1) * _taskOutputs, _operands.Outputs), group = Math.Min(MostOutputs, Tiles(GroupBytes / _operands.RowBytes));
        var panels = _panels;
        bool own = panels.Data == 0;
        int decodedFloats = Math.Max(DecodedStride * GemmTile.LaneOutputs, panels.CopiedFloats);
        float* decoded = _pool.Scratch.Worker(worker).Floats(decodedFloats + 2 * group * panels.Lanes + (own ? panels.Floats : 0));
        float* sums = decoded + decodedFloats, transposed = sums + group * panels.Lanes;
        if (own)
        {
            // they stay where they are until this worker's last task
            panels = panels with { Data = (nint)(transposed + group * panels.Lanes) };
            ulong mine = 1UL << worker;
            if ((Interlocked.Or(ref _filled, mine) & mine) == 0) panels.Fill(_operands, 0, _operands.Columns, decoded);
        }
        for (int first = task * _taskOutputs; first < end; first += group)
        {
            int outputs = Math.Min(group, end - first);
            new Span<float>(sums, group * panels.Lanes).Clear();
            Multiply(panels, first, outputs, group, sums, decoded);
            for (int lane = 0; lane < _operands.Rows; lane += panels.Width(lane))
            {
                int width = panels.Width(lane), rows = Math.Min(width, _operands.Rows - lane);
                PanelPacking.Transpose(sums + lane * group, width, rows, transposed, group);
                for (int row = 0; row < rows; row++) _operands.Store<V>(lane + row, first, transposed + row * group, outputs);
            }
        }
    }

    // Sums are [panel, output, lane].
    private readonly void Multiply(in LanePanels panels, int first, int outputs, int group, float* sums, float* decoded)
    {
        long rowBytes = _operands.RowBytes;
        byte* ahead = _operands.WeightRow(first + outputs);
        for (int column = 0; column < _operands.Columns; column += BlockColumns)
        {
            int columns = Math.Min(BlockColumns, _operands.Columns - column);
            long bytes = _operands.Format.ByteLength(columns);
            byte* weight = _operands.WeightRow(first) + _operands.Format.ByteLength(column);
            for (int tile = 0; tile < outputs; tile += GemmTile.LaneOutputs)
            {
                // outputs that a last tile lacks get sums of what lies there, which nobody reads
                int count = Math.Min(GemmTile.LaneOutputs, outputs - tile);
                for (int output = 0; output < count; output++, weight += rowBytes)
                {
                    ahead = Prefetch.Lines(ahead, bytes);
                    F.Dequantise<V>(weight, decoded + output * DecodedStride, columns);
                }
                for (int lane = 0; lane < panels.Lanes; lane += panels.Width(lane))
                {
                    int width = panels.Width(lane);
                    GemmTile.RunLanes<V>(decoded, DecodedStride, panels.At(lane, column), columns, sums + lane * group + tile * width, width);
                }
            }
        }
    }
}
