using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>
/// Weights for benchmarks: normally distributed numbers of standard deviation 0.02 (norms: 1), the same for the same seed. A few megabytes of them are made once and copied into each matrix
/// piece by piece, every piece from another place, so that a model of any size is made in bounded memory and about the time of its copies.
/// </summary>
public sealed class RandomModel
{
    private const int PatternBytes = 4 << 20;
    private const float Deviation = 0.02f;

    private readonly ComputeBackend _backend;
    private readonly WeightFormat _format;
    private readonly Random _random;
    private readonly byte[] _pattern;

    /// <summary>A source of matrices in <paramref name="format"/> on <paramref name="backend"/>.</summary>
    /// <exception cref="NotSupportedException">Numbers are not encoded into this format here.</exception>
    internal RandomModel(ComputeBackend backend, WeightFormat format, int seed = 0)
    {
        ArgumentNullException.ThrowIfNull(backend);
        _backend = backend;
        _format = format;
        _random = new Random(seed);
        _pattern = new byte[PatternBytes / format.BlockBytes() * format.BlockBytes()];
        WeightEncoder.Encode(format, Normals(_pattern.Length / format.BlockBytes() * format.BlockElements()), _pattern);
    }

    /// <summary>All weights of a decoder of <paramref name="config"/>: matrices in <paramref name="format"/>, norms and biases in F32; <paramref name="progress"/> is told the finished share (0 to 1).</summary>
    /// <exception cref="ArgumentException">The rows of a matrix are not whole blocks of the format.</exception>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public static LlamaWeights Create(ComputeBackend backend, LlamaConfig config, WeightFormat format, int seed = 0, Action<double>? progress = null)
    {
        var source = new RandomModel(backend, format, seed);
        using var reserved = backend.ReserveWeights([.. WeightPlan.Of(config).Select(weight => Bytes(weight.Shape, format))]);
        return LlamaWeights.Build(config, (name, shape) => shape.Length == 1 ? source.Vector(name, (int)shape[0]) : source.Matrix(name, (int)shape[0], (int)shape[1]), progress);
    }

    /// <summary>Bytes of the weights that <see cref="Create"/> makes.</summary>
    /// <exception cref="ArgumentException">The rows of a matrix are not whole blocks of the format.</exception>
    public static long PlannedBytes(LlamaConfig config, WeightFormat format) =>
        WeightPlan.Of(config).Sum(weight => Bytes(weight.Shape, format));

    /// <summary>A matrix <c>[rows, columns]</c>.</summary>
    internal WeightMatrix Matrix(string name, int rows, int columns)
    {
        long bytes = rows * _format.ByteLength(columns);
        var data = _backend.Allocate(bytes, "weights");
        try
        {
            int block = _format.BlockBytes();
            for (long done = 0; done < bytes;)
            {
                int from = _random.Next(_pattern.Length / block) * block;
                int count = (int)Math.Min(_pattern.Length - from, bytes - done);
                data.Upload(_pattern.AsSpan(from, count), done);
                done += count;
            }
            return new WeightMatrix(name, _format, rows, columns, data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>A norm's weight (about 1) or a bias <c>[size]</c> in F32.</summary>
    internal WeightMatrix Vector(string name, int size)
    {
        float[] values = Normals(size);
        if (!name.EndsWith(".bias", StringComparison.Ordinal))
            for (int i = 0; i < size; i++) values[i]++;
        var data = _backend.Allocate((long)size * sizeof(float), "weights");
        try
        {
            ((DeviceSpan)data).Upload<float>(values);
            return new WeightMatrix(name, WeightFormat.F32, 1, size, data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    private static long Bytes(long[] shape, WeightFormat format) => shape.Length == 1 ? shape[0] * sizeof(float) : shape[0] * format.ByteLength(shape[1]);

    private float[] Normals(int count)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
        {
            double size = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())), angle = 2 * Math.PI * _random.NextDouble();
            values[i] = (float)(Deviation * size * Math.Cos(angle));
            if (++i < count) values[i] = (float)(Deviation * size * Math.Sin(angle));
        }
        return values;
    }
}
