using System.Runtime.InteropServices;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Finds the <see cref="LabelBasis"/> of one (layer, kv head): the directions in which the error of a label costs the logits least. With Σq the second moment of the queries and Σk the covariance of the keys, the expected square error of q·k is
/// smallest for the eigenvectors of Σq^½ Σk Σq^½ (a Karhunen-Loève transform of the keys in the metric of the queries). Half of Σk is of the keys that compete for selection: the best eighth of each query.
/// </summary>
internal static class BasisFit
{
    /// <summary>Most directions that are kept: more than a label of 128 bits gives bits to.</summary>
    public const int MostDirections = 64;

    // Queries of a window that say which keys compete, and the share of the keys that do.
    private const int RankingQueries = 40;
    private const double Competing = 1 / 8.0;

    // Queries that nearly never point somewhere must not make the metric singular.
    private const double LeastShare = 1e-4;

    /// <summary>The basis for <paramref name="texts"/>, each kind of text counting as much as its share of the queries says.</summary>
    public static LabelBasis Fit(IReadOnlyList<IReadOnlyList<HeadWindow>> texts, IReadOnlyList<double> shares, int headDim)
    {
        int d = headDim;
        var q = new double[d, d];
        var k = new double[d, d];
        var mean = new double[d];
        foreach (var (windows, share) in texts.Zip(shares))
        {
            Accumulate(windows.Select(w => (w.Queries, Enumerable.Repeat(1.0, w.Queries.Length / d).ToArray())), d, out var moment, out _);
            double trace = 0;
            for (int i = 0; i < d; i++) trace += moment[i, i];
            var weights = windows.Select(w => (w.Keys, Weights(w, d))).ToList();
            Accumulate(weights, d, out var square, out var first);
            for (int i = 0; i < d; i++)
            {
                mean[i] += first[i] / texts.Count;
                for (int j = 0; j < d; j++)
                {
                    q[i, j] += trace > 0 ? share * moment[i, j] / trace : i == j ? share / d : 0;
                    k[i, j] += (square[i, j] - first[i] * first[j]) / texts.Count;
                }
            }
        }
        var (root, inverse) = Roots(q);
        var (values, vectors) = SymmetricEigen.Decompose(Multiply(Multiply(root, k), root));
        int count = Math.Min(MostDirections, d);
        var keys = new float[count][];
        var queries = new float[count][];
        var offsets = new float[count];
        var deviations = new float[count];
        for (int n = 0; n < count; n++)
        {
            keys[n] = Transform(root, vectors[n]);
            queries[n] = Transform(inverse, vectors[n]);
            double offset = 0;
            for (int i = 0; i < d; i++) offset += keys[n][i] * mean[i];
            offsets[n] = (float)offset;
            deviations[n] = (float)Math.Sqrt(Math.Max(values[n], 0));
        }
        return new LabelBasis([.. values.Take(count).Select(v => (float)Math.Max(v, 0))], offsets, deviations, LabelBasis.Pack(keys), LabelBasis.Pack(queries));
    }

    // Of each key: half the same for all, half by how many queries it competes for.
    private static double[] Weights(HeadWindow window, int d)
    {
        int group = window.Visible.Length == 0 ? 0 : window.Queries.Length / d / window.Visible.Length, step = Math.Max(1, window.Visible.Length / RankingQueries);
        var counts = new int[window.Count];
        var scores = new float[window.Count];
        long total = 0;
        for (int query = 0; query < window.Visible.Length; query += step)
        {
            int visible = window.Visible[query], most = (int)Math.Ceiling(visible * Competing);
            for (int g = 0; g < group; g++)
            {
                var q = window.Queries.AsSpan((query * group + g) * d, d);
                for (int j = 0; j < visible; j++) scores[j] = VectorMath.Dot(q, window.Keys.AsSpan(j * d, d));
                float threshold = OrderStatistic.Largest(scores.AsSpan(0, visible), most);
                for (int j = 0; j < visible; j++)
                {
                    if (!(scores[j] >= threshold)) continue;
                    counts[j]++;
                    total++;
                }
            }
        }
        return [.. counts.Select(c => total > 0 ? 0.5 / counts.Length + 0.5 * c / total : 1.0 / counts.Length)];
    }

    // Σ w·xxᵀ / Σ w and Σ w·x / Σ w.
    private static void Accumulate(IEnumerable<(float[] Rows, double[] Weights)> parts, int d, out double[,] square, out double[] first)
    {
        square = new double[d, d];
        first = new double[d];
        var row = new double[d];
        double total = 0;
        foreach (var (rows, weights) in parts)
        {
            for (int t = 0; t < weights.Length; t++)
            {
                double w = weights[t];
                total += w;
                for (int i = 0; i < d; i++) row[i] = rows[t * d + i];
                for (int i = 0; i < d; i++)
                {
                    double factor = w * row[i];
                    first[i] += factor;
                    VectorMath.AddScaled(factor, row.AsSpan(0, i + 1), MemoryMarshal.CreateSpan(ref square[i, 0], i + 1));
                }
            }
        }
        for (int i = 0; i < d; i++)
        {
            first[i] /= total;
            for (int j = 0; j <= i; j++) square[i, j] = square[j, i] = square[i, j] / total;
        }
    }

    private static (double[,] Root, double[,] Inverse) Roots(double[,] matrix)
    {
        int d = matrix.GetLength(0);
        var (values, vectors) = SymmetricEigen.Decompose(matrix);
        double least = Math.Max(values[0] * LeastShare, 1e-30);
        var root = new double[d, d];
        var inverse = new double[d, d];
        for (int n = 0; n < d; n++)
        {
            double s = Math.Sqrt(Math.Max(values[n], least));
            for (int i = 0; i < d; i++)
            {
                VectorMath.AddScaled(vectors[n][i] * s, vectors[n], MemoryMarshal.CreateSpan(ref root[i, 0], d));
                VectorMath.AddScaled(vectors[n][i] / s, vectors[n], MemoryMarshal.CreateSpan(ref inverse[i, 0], d));
            }
        }
        return (root, inverse);
    }

    private static double[,] Multiply(double[,] a, double[,] b)
    {
        int d = a.GetLength(0);
        var result = new double[d, d];
        for (int i = 0; i < d; i++)
            for (int j = 0; j < d; j++) VectorMath.AddScaled(a[i, j], MemoryMarshal.CreateSpan(ref b[j, 0], d), MemoryMarshal.CreateSpan(ref result[i, 0], d));
        return result;
    }

    private static float[] Transform(double[,] symmetric, double[] vector)
    {
        var result = new double[vector.Length];
        for (int i = 0; i < vector.Length; i++) VectorMath.AddScaled(vector[i], MemoryMarshal.CreateSpan(ref symmetric[i, 0], vector.Length), result);
        return [.. result.Select(x => (float)x)];
    }
}
