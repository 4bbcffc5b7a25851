namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>
/// The label product Σ_c w_c·(code_c − centre) of 16 tokens at a time, where w is the query (with scales folded in). A head's weights are first made into a table of the
/// scorer's own form.
/// </summary>
internal unsafe interface ILabelScorer
{
    /// <summary>Floats that the table of one head takes; a multiple of 16.</summary>
    static abstract int TableFloats(LabelCoding coding);

    /// <summary>Fills <paramref name="table"/> from <paramref name="weights"/>, which hold zeros from r to <see cref="LabelCoding.PaddedChannels"/>.</summary>
    static abstract void Prepare(LabelCoding coding, float* weights, float* table);

    /// <summary>
    /// Scores <paramref name="tiles"/> tiles of <paramref name="codes"/> for <paramref name="heads"/> tables, one after the other in <paramref name="tables"/>: head h of token t goes to
    /// <paramref name="scores"/>[h · <paramref name="stride"/> + t]. May read up to 3 bytes past the codes.
    /// </summary>
    static abstract void Score(LabelCoding coding, uint* codes, int tiles, float* tables, int heads, float* scores, long stride);
}
