using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Many rows of X: blocked multiplication. A task owns <see cref="GemmTile.PanelVectors"/> vectors of outputs: it decodes a block of columns of their weights into a panel in the second-level cache
/// and runs all rows of X against it in register tiles, one block of columns after the other. Nothing depends on which worker does it, or when.
/// </summary>
internal unsafe struct GemmJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // Columns a panel: a multiple of every format's block. A tile's rows of X by 512 columns are half a first-level cache.
    private const int PanelColumns = 512;

    // Rows at a time: bounds the copy of X.
    private const int MaxRows = 768;

    private MatMulOperands _operands;
    private WorkerPool _pool;
    private float* _x;
    private long _xStride;

    private static int TileRows => GemmTile.Rows<V>();

    private static int PanelOutputs => GemmTile.PanelVectors * V.Count;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        for (int row = 0; row < operands.Rows; row += MaxRows)
        {
            var part = operands with { X = (nint)operands.XRow(row), Y = (nint)operands.YRow(row), Rows = Math.Min(MaxRows, operands.Rows - row) };
            var job = new GemmJob<V, F>
            {
                _operands = part,
                _pool = pool,
                _x = TiledRowsJob.Copy(pool, (float*)part.X, part.Rows, part.Columns, TileRows, out long stride),
                _xStride = stride,
            };
            pool.Run(ref job, (operands.Outputs + PanelOutputs - 1) / PanelOutputs);
        }
    }

    public readonly void Execute(int task, int worker)
    {
        int first = task * PanelOutputs, outputs = Math.Min(PanelOutputs, _operands.Outputs - first), panelColumns = Math.Min(PanelColumns, _operands.Columns);
        float* panel = _pool.Scratch.Worker(worker).Floats((long)panelColumns * PanelOutputs + PanelPacking.DecodedFloats(PanelOutputs) + TileRows * PanelOutputs);
        float* decoded = panel + (long)panelColumns * PanelOutputs, edge = decoded + PanelPacking.DecodedFloats(PanelOutputs);

        for (int row = 0; row < _operands.Rows; row++)
        {
            float* y = _operands.YRow(row);
            for (int output = first; output < first + outputs; output++) y[output] = _operands.Start(row, output);
        }
        for (int column = 0; column < _operands.Columns; column += panelColumns)
        {
            int columns = Math.Min(panelColumns, _operands.Columns - column);
            byte* weight = _operands.WeightRow(first) + _operands.Format.ByteLength(column);
            PanelPacking.Pack<V, F>(weight, _operands.Format, _operands.RowBytes, outputs, columns, decoded, panel, PanelOutputs);
            for (int row = 0; row < _operands.Rows; row += TileRows)
            {
                float* x = _x + row * _xStride + column, y = _operands.YRow(row) + first;
                int rows = Math.Min(TileRows, _operands.Rows - row);
                if (rows == TileRows && outputs == PanelOutputs) GemmTile.Run<V>(x, _xStride, panel, columns, y, _operands.Outputs);
                else RunEdge(x, panel, columns, edge, y, rows, outputs);
            }
        }
    }

    // A tile of which Y has only a part: computed whole beside it, then taken in part.
    private readonly void RunEdge(float* x, float* panel, int columns, float* edge, float* y, int rows, int outputs)
    {
        new Span<float>(edge, TileRows * PanelOutputs).Clear();
        if (rows <= GemmTile.FewRows) GemmTile.RunFew<V>(x, _xStride, panel, columns, edge, PanelOutputs);
        else GemmTile.Run<V>(x, _xStride, panel, columns, edge, PanelOutputs);
        for (int row = 0; row < rows; row++, y += _operands.Outputs, edge += PanelOutputs)
            for (int output = 0; output < outputs; output++) y[output] += edge[output];
    }
}
