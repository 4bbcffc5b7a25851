namespace IlgpuSparse.Compute;

/// <summary>A matrix a kv head that keys, or the queries of its group, are multiplied by before labels are made of them.</summary>
/// <param name="Matrix">fp32 <c>[kvHead, PaddedInputs, Outputs]</c>; rows from <paramref name="Inputs"/> on are zero.</param>
/// <param name="KvHeads">Kv heads.</param>
/// <param name="Inputs">Channels a head.</param>
/// <param name="Outputs">Numbers a head afterwards; a multiple of 16.</param>
public sealed record HeadProjection(DeviceBuffer Matrix, int KvHeads, int Inputs, int Outputs) : IDisposable
{
    /// <summary>Rows of a matrix come in multiples of this, so that threads can share them.</summary>
    public const int InputUnit = 32;

    /// <summary>Rows of a matrix.</summary>
    public int PaddedInputs => (Inputs + InputUnit - 1) / InputUnit * InputUnit;

    /// <summary>Uploads <paramref name="rows"/>[kvHead][output], each <c>[Inputs]</c>; outputs beyond them are zero.</summary>
    public static HeadProjection Create(ComputeBackend backend, IReadOnlyList<IReadOnlyList<float[]>> rows, int inputs, int outputs)
    {
        var projection = new HeadProjection(null!, rows.Count, inputs, outputs);
        int padded = projection.PaddedInputs;
        var values = new float[rows.Count * padded * outputs];
        for (int head = 0; head < rows.Count; head++)
            for (int o = 0; o < rows[head].Count; o++)
                for (int c = 0; c < inputs; c++) values[(head * padded + c) * outputs + o] = rows[head][o][c];
        var buffer = backend.Allocate((long)values.Length * sizeof(float), "labels");
        ((DeviceSpan)buffer).Upload<float>(values);
        return projection with { Matrix = buffer };
    }

    /// <inheritdoc/>
    public void Dispose() => Matrix.Dispose();
}
