using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Many rows of X: blocked multiplication. A task owns <see cref="GemmTile.PanelVectors"/> vectors of outputs: it decodes a block of columns of their weights into a panel in the second-level cache
/// and runs all rows of X against it in register tiles, one block of columns after the other. Nothing depends on which worker does it, or when.
/// </summary>
internal unsafe struct GemmJob<V, F> : IParallelJob where V : struct, ISimd<V> where F : struct, IWeightFormat
{
    // Columns a panel: a multiple of every format's block. Twelve rows of X by 512 columns are half a first-level cache.
    private const int PanelColumns = 512;

    private MatMulOperands _operands;
    private WorkerPool _pool;

    private static int PanelOutputs => GemmTile.PanelVectors * V.Count;

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        var job = new GemmJob<V, F> { _operands = operands, _pool = pool };
        pool.Run(ref job, (operands.Outputs + PanelOutputs - 1) / PanelOutputs);
    }

    public void Execute(int task, int worker)
    {
        int first = task * PanelOutputs, outputs = Math.Min(PanelOutputs, _operands.Outputs - first);
        int panelColumns = Math.Min(PanelColumns, _operands.Columns), tileRows = GemmTile.Rows;
        float* panel = _pool.Scratch.Worker(worker).Floats((long)panelColumns * (PanelOutputs + PanelPacking.RowsAtOnce + tileRows) + tileRows * PanelOutputs);
        float* decoded = panel + (long)panelColumns * PanelOutputs;
        float* lastRows = decoded + (long)panelColumns * PanelPacking.RowsAtOnce;
        float* edge = lastRows + (long)panelColumns * tileRows;

        for (int row = 0; row < _operands.Rows; row++)
        {
            float* y = _operands.YRow(row);
            for (int output = first; output < first + outputs; output++) y[output] = _operands.Start(row, output);
        }
        for (int column = 0; column < _operands.Columns; column += panelColumns)
        {
            int columns = Math.Min(panelColumns, _operands.Columns - column);
            byte* weight = _operands.WeightRow(first) + _operands.Format.ByteLength(column);
            PanelPacking.Pack<V, F>(weight, _operands.RowBytes, outputs, columns, decoded, panel, PanelOutputs);
            Multiply(panel, lastRows, edge, first, outputs, column, columns);
        }
    }

    private readonly void Multiply(float* panel, float* lastRows, float* edge, int first, int outputs, int column, int columns)
    {
        int tileRows = GemmTile.Rows;
        for (int row = 0; row < _operands.Rows; row += tileRows)
        {
            int rows = Math.Min(tileRows, _operands.Rows - row);
            float* x = _operands.XRow(row) + column;
            long stride = _operands.Columns;
            if (rows == tileRows && outputs == PanelOutputs)
            {
                GemmTile.Run<V>(x, stride, panel, columns, _operands.YRow(row) + first, _operands.Outputs);
                continue;
            }
            // An incomplete tile is computed whole, over rows that are repeated to fill it, and then taken in part.
            for (int r = 0; r < tileRows; r++) new Span<float>(_operands.XRow(row + Math.Min(r, rows - 1)) + column, columns).CopyTo(new Span<float>(lastRows + r * columns, columns));
            new Span<float>(edge, tileRows * PanelOutputs).Clear();
            GemmTile.Run<V>(lastRows, columns, panel, columns, edge, PanelOutputs);
            for (int r = 0; r < rows; r++)
            {
                float* y = _operands.YRow(row + r) + first;
                for (int output = 0; output < outputs; output++) y[output] += edge[r * PanelOutputs + output];
            }
        }
    }
}
