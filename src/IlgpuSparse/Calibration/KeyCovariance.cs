using System.Numerics;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>Sums of keys and of their products, for every (layer, kv head), in double precision: their principal components follow from them.</summary>
public sealed class KeyCovariance
{
    // Jacobi's method is done long before: it converges quadratically
    private const int MostSweeps = 64;

    private readonly LlamaConfig _config;
    // [layer][kvHead][headDim] and [layer][kvHead][headDim, headDim], of which the upper triangle is summed
    private readonly double[][][] _sums;
    private readonly double[][][] _products;
    private readonly long[] _tokens;

    /// <summary>Starts empty.</summary>
    public KeyCovariance(LlamaConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        _config = config;
        _tokens = new long[config.Layers];
        _sums = [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => new double[config.HeadDim]).ToArray())];
        _products = [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => new double[config.HeadDim * config.HeadDim]).ToArray())];
    }

    /// <summary>Tokens seen by the first layer.</summary>
    public long Tokens => _tokens[0];

    /// <summary>Adds <paramref name="rows"/> keys <c>[row, kvHead, headDim]</c> of <paramref name="layer"/>, after RoPE.</summary>
    public void Add(int layer, int rows, ReadOnlySpan<float> k)
    {
        int d = _config.HeadDim;
        var key = new double[d];
        for (int row = 0; row < rows; row++)
        {
            for (int head = 0; head < _config.KvHeads; head++)
            {
                var source = k.Slice((row * _config.KvHeads + head) * d, d);
                double[] sums = _sums[layer][head], products = _products[layer][head];
                for (int c = 0; c < d; c++)
                {
                    key[c] = source[c];
                    sums[c] += key[c];
                }
                for (int a = 0; a < d; a++)
                {
                    var target = products.AsSpan(a * d, d);
                    var factor = new Vector<double>(key[a]);
                    int b = a - a % Vector<double>.Count;
                    for (; b <= d - Vector<double>.Count; b += Vector<double>.Count) (new Vector<double>(target[b..]) + factor * new Vector<double>(key, b)).CopyTo(target[b..]);
                    for (; b < d; b++) target[b] += key[a] * key[b];
                }
            }
        }
        _tokens[layer] += rows;
    }

    /// <summary>The principal components of what was added.</summary>
    /// <param name="fingerprint">The model's <see cref="ModelFile.Fingerprint"/>.</param>
    /// <exception cref="InvalidOperationException">Fewer than two tokens were added.</exception>
    public KeyComponents Components(string? fingerprint)
    {
        if (Tokens < 2) throw new InvalidOperationException("principal components need at least two tokens");
        int d = _config.HeadDim;
        var heads = new float[_config.Layers][][];
        for (int layer = 0; layer < _config.Layers; layer++) heads[layer] = new float[_config.KvHeads][];
        Parallel.For(0, _config.Layers * _config.KvHeads, i =>
        {
            int layer = i / _config.KvHeads, head = i % _config.KvHeads;
            double[] sums = _sums[layer][head], products = _products[layer][head], covariance = new double[d * d];
            double tokens = _tokens[layer];
            for (int a = 0; a < d; a++)
                for (int b = a; b < d; b++) covariance[a * d + b] = covariance[b * d + a] = products[a * d + b] / tokens - sums[a] / tokens * (sums[b] / tokens);
            heads[layer][head] = Eigenvectors(covariance, d);
        });
        return new KeyComponents("calibration", d, _config.RopeStyle, fingerprint, heads);
    }

    // Jacobi's method: rotations that make one pair of off-diagonal numbers zero after the other. The rows of the result belong to falling eigenvalues.
    private static float[] Eigenvectors(double[] m, int d)
    {
        var vectors = new double[d * d];
        for (int i = 0; i < d; i++) vectors[i * d + i] = 1;
        for (int sweep = 0; sweep < MostSweeps; sweep++)
        {
            double off = 0, all = 0;
            for (int a = 0; a < d; a++)
            {
                for (int b = 0; b < d; b++)
                {
                    all += m[a * d + b] * m[a * d + b];
                    if (a != b) off += m[a * d + b] * m[a * d + b];
                }
            }
            if (off <= 1e-24 * all) break;
            for (int a = 0; a < d - 1; a++)
                for (int b = a + 1; b < d; b++) Rotate(m, vectors, d, a, b);
        }
        int[] order = [.. Enumerable.Range(0, d).OrderByDescending(i => m[i * d + i]).ThenBy(i => i)];
        var result = new float[d * d];
        for (int i = 0; i < d; i++)
            for (int c = 0; c < d; c++) result[i * d + c] = (float)vectors[order[i] * d + c];
        return result;
    }

    private static void Rotate(double[] m, double[] vectors, int d, int a, int b)
    {
        double off = m[a * d + b];
        if (off == 0) return;
        double theta = (m[b * d + b] - m[a * d + a]) / (2 * off), t = 1 / (Math.Abs(theta) + Math.Sqrt(theta * theta + 1));
        if (theta < 0) t = -t;
        double cosine = 1 / Math.Sqrt(t * t + 1), sine = t * cosine;
        for (int i = 0; i < d; i++) (m[i * d + a], m[i * d + b]) = (cosine * m[i * d + a] - sine * m[i * d + b], sine * m[i * d + a] + cosine * m[i * d + b]);
        for (int i = 0; i < d; i++) (m[a * d + i], m[b * d + i]) = (cosine * m[a * d + i] - sine * m[b * d + i], sine * m[a * d + i] + cosine * m[b * d + i]);
        for (int i = 0; i < d; i++) (vectors[a * d + i], vectors[b * d + i]) = (cosine * vectors[a * d + i] - sine * vectors[b * d + i], sine * vectors[a * d + i] + cosine * vectors[b * d + i]);
    }
}
