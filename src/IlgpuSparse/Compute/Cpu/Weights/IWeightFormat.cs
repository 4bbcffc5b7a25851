namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>Arithmetic on one row of stored weights. No method reads past the numbers asked for: the row may end where the mapped file ends.</summary>
internal unsafe interface IWeightFormat
{
    /// <summary>Σ row[c] · x[c] over <paramref name="columns"/> numbers (whole blocks).</summary>
    static abstract float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>;

    /// <summary>Writes <paramref name="count"/> numbers (whole blocks) of a row as floats.</summary>
    static abstract void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>;
}
