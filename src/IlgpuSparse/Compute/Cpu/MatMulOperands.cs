using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>A product Y (+)= X · Wᵀ + bias in raw pointers.</summary>
/// <param name="Format">Format of W.</param>
/// <param name="Weight">W <c>[outputs, columns]</c>, as stored.</param>
/// <param name="Outputs">Rows of W.</param>
/// <param name="Columns">Columns of W and X.</param>
/// <param name="X">X <c>[rows, columns]</c>.</param>
/// <param name="Rows">Rows of X and Y.</param>
/// <param name="Y">Y <c>[rows, outputs]</c>.</param>
/// <param name="Bias">Bias <c>[outputs]</c> or null.</param>
/// <param name="Accumulate">Whether the product is added to Y.</param>
internal readonly unsafe record struct MatMulOperands(
    WeightFormat Format, nint Weight, int Outputs, int Columns, nint X, int Rows, nint Y, nint Bias, bool Accumulate)
{
    /// <summary>Bytes of a row of W.</summary>
    public long RowBytes => Format.ByteLength(Columns);

    /// <summary>Row <paramref name="output"/> of W.</summary>
    public byte* WeightRow(int output) => (byte*)Weight + output * RowBytes;

    /// <summary>Row <paramref name="row"/> of X.</summary>
    public float* XRow(int row) => (float*)X + (long)row * Columns;

    /// <summary>Row <paramref name="row"/> of Y.</summary>
    public float* YRow(int row) => (float*)Y + (long)row * Outputs;

    /// <summary>What the product with <paramref name="output"/> is added to in row <paramref name="row"/>.</summary>
    public float Start(int row, int output) => (Accumulate ? YRow(row)[output] : 0) + (Bias != 0 ? ((float*)Bias)[output] : 0);

    /// <summary>Writes <paramref name="count"/> sums of row <paramref name="row"/> from output <paramref name="output"/> on, added to what they are to be added to.</summary>
    public void Store<V>(int row, int output, float* sums, int count) where V : struct, ISimd<V>
    {
        float* y = YRow(row) + output;
        int i = 0;
        for (; i <= count - V.Count; i += V.Count)
        {
            // in the order of Start: which outputs are left for it must not matter
            V start = Accumulate ? V.Load(y + i) : V.Zero;
            if (Bias != 0) start = V.Add(start, V.Load((float*)Bias + output + i));
            V.Store(V.Add(start, V.Load(sums + i)), y + i);
        }
        for (; i < count; i++) y[i] = Start(row, output + i) + sums[i];
    }
}
