namespace IlgpuSparse.Compute.Cpu;

/// <summary>Rows of X in the lanes of vectors: panels <c>[columns, width]</c> of two vectors of rows each, the last one of one vector where that is enough; lanes without a row are zero.</summary>
/// <param name="Data">The first panel.</param>
/// <param name="Columns">Columns of X.</param>
/// <param name="Lanes">Rows with those that fill the last vector.</param>
/// <param name="Most">Lanes of a whole panel.</param>
internal readonly unsafe record struct LanePanels(nint Data, int Columns, int Lanes, int Most)
{
    /// <summary>Numbers of all panels.</summary>
    public long Floats => (long)Lanes * Columns;

    /// <summary>For the rows of <paramref name="operands"/> in lanes of vectors <typeparamref name="V"/>; the memory is still to be given.</summary>
    public static LanePanels For<V>(in MatMulOperands operands) where V : struct, ISimd<V> =>
        new(0, operands.Columns, (operands.Rows + V.Count - 1) / V.Count * V.Count, GemmTile.PanelVectors * V.Count);

    /// <summary>Lanes of the panel that begins with lane <paramref name="lane"/>.</summary>
    public int Width(int lane) => Math.Min(Most, Lanes - lane);

    /// <summary>Column <paramref name="column"/> of the panel that begins with lane <paramref name="lane"/>.</summary>
    public float* At(int lane, int column) => (float*)Data + (long)lane * Columns + (long)column * Width(lane);

    /// <summary>Fills columns <paramref name="from"/> up to <paramref name="end"/>; <paramref name="copied"/> is scratch of <see cref="CopiedFloats"/>.</summary>
    public void Fill(in MatMulOperands operands, int from, int end, float* copied)
    {
        for (int column = from; column < end; column += PanelPacking.ChunkColumns)
        {
            int columns = Math.Min(PanelPacking.ChunkColumns, end - column);
            for (int lane = 0; lane < Lanes; lane += Width(lane))
            {
                // copied first: in place, rows of 4096 numbers would all compete for the same lines of the cache
                int width = Width(lane);
                for (int i = 0; i < width; i++)
                {
                    var row = new Span<float>(copied + i * PanelPacking.UnpackedStride, columns);
                    if (lane + i < operands.Rows) new ReadOnlySpan<float>(operands.XRow(lane + i) + column, columns).CopyTo(row);
                    else row.Clear();
                }
                PanelPacking.Transpose(copied, PanelPacking.UnpackedStride, columns, At(lane, column), width);
            }
        }
    }

    /// <summary>Floats of scratch for <see cref="Fill"/>.</summary>
    public int CopiedFloats => PanelPacking.UnpackedFloats(Most);
}
