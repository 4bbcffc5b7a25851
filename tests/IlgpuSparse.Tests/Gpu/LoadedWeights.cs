using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>A random matrix on the device, of as many whole blocks a row as hold the columns asked for, and its products in double precision.</summary>
internal sealed class LoadedWeights : IDisposable
{
    public LoadedWeights(Random random, GpuBackend backend, WeightFormat format, int rows, int columns)
    {
        int block = format.BlockElements();
        Values = new RandomWeights(random, format, rows, (columns + block - 1) / block * block);
        Loaded = Values.Load(backend);
    }

    public RandomWeights Values { get; }

    public WeightMatrix Loaded { get; }

    public int Columns => Values.Columns;

    /// <summary>
    /// Product of row <paramref name="n"/> and what its rounding errors are relative to: the sizes of its terms. Where codes and minimum are summed apart and partly cancel, that of terms as large as
    /// the largest code's: up to four times the largest weight.
    /// </summary>
    public (double Value, double Size) Dot(int n, double[] x, double start)
    {
        double value = start, size = Math.Abs(start);
        bool offsets = Values.Format is WeightFormat.Q4_1 or WeightFormat.Q4_K or WeightFormat.Q5_K;
        double largest = offsets ? Enumerable.Range(n * Columns, Columns).Max(i => 4 * Math.Abs(Values.Values[i])) : 0;
        for (int c = 0; c < Columns; c++)
        {
            double weight = Values.Values[n * Columns + c];
            value += weight * x[c];
            size += Math.Max(Math.Abs(weight), largest) * Math.Abs(x[c]);
        }
        return (value, size);
    }

    public void Dispose() => Loaded.Dispose();
}
