namespace IlgpuSparse.Compute.Cpu;

/// <summary>Rows of X in the lanes of vectors: panels <c>[columns, width]</c> of two vectors of rows each, the last one of one vector where that is enough; lanes without a row are zero.</summary>
/// <param name="Data">The first panel.</param>
/// <param name="Columns">Columns of X.</param>
/// <param name="Lanes">Rows with those that fill the last vector.</param>
/// <param name="Most">Lanes of a whole panel.</param>
internal readonly unsafe record struct LanePanels(nint Data, int Columns, int Lanes, int Most)
{
    /// <summary>Lanes of the panel that begins with lane <paramref name="lane"/>.</summary>
    public int Width(int lane) => Math.Min(Most, Lanes - lane);

    /// <summary>Column <paramref name="column"/> of the panel that begins with lane <paramref name="lane"/>.</summary>
    public float* At(int lane, int column) => (float*)Data + (long)lane * Columns + (long)column * Width(lane);
}
