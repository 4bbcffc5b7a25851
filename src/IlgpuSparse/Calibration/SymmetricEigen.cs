namespace IlgpuSparse.Calibration;

/// <summary>Eigenvalues and eigenvectors of a symmetric matrix: Householder reduction to tridiagonal form, then QL steps with implicit shifts.</summary>
internal static class SymmetricEigen
{
    private const int MostSteps = 60;

    /// <summary>Eigenvalues in descending order, and the eigenvectors as rows: <c>Vectors[i]</c> belongs to <c>Values[i]</c>.</summary>
    /// <exception cref="ArgumentException">Not square, or it holds what is not a finite number.</exception>
    public static (double[] Values, double[][] Vectors) Decompose(double[,] matrix)
    {
        int n = matrix.GetLength(0);
        if (matrix.GetLength(1) != n) throw new ArgumentException("the matrix is not square", nameof(matrix));
        foreach (double x in matrix)
            if (!double.IsFinite(x)) throw new ArgumentException("the matrix holds a number that is not finite", nameof(matrix));
        // rows of v are the columns of the usual presentation: every inner loop runs along a row
        var v = new double[n][];
        for (int i = 0; i < n; i++)
        {
            v[i] = new double[n];
            for (int j = 0; j < n; j++) v[i][j] = matrix[i, j];
        }
        var d = new double[n];
        var e = new double[n];
        Tridiagonalise(v, d, e);
        Diagonalise(v, d, e);
        int[] order = [.. Enumerable.Range(0, n).OrderByDescending(i => d[i])];
        return ([.. order.Select(i => d[i])], [.. order.Select(i => v[i])]);
    }

    // Leaves the diagonal in d, what is beside it in e[1..], and the orthogonal transformation in the rows of v.
    private static void Tridiagonalise(double[][] v, double[] d, double[] e)
    {
        int n = d.Length;
        var a = new double[n][];
        for (int i = 0; i < n; i++) a[i] = (double[])v[i].Clone();
        for (int i = 0; i < n; i++)
        {
            Array.Clear(v[i]);
            v[i][i] = 1;
        }
        var u = new double[n];
        var p = new double[n];
        for (int k = 0; k < n - 2; k++)
        {
            double norm = 0;
            for (int i = k + 1; i < n; i++) norm += a[i][k] * a[i][k];
            norm = Math.Sqrt(norm);
            double head = a[k + 1][k];
            if (norm == 0) continue;
            double alpha = head > 0 ? -norm : norm;
            double square = 0;
            for (int i = k + 1; i < n; i++)
            {
                u[i] = a[i][k] - (i == k + 1 ? alpha : 0);
                square += u[i] * u[i];
            }
            if (square == 0) continue;
            double beta = 2 / square, dot = 0;
            // A ← (1 − βuuᵀ) A (1 − βuuᵀ) on what is left of it
            for (int i = k + 1; i < n; i++)
            {
                double sum = 0;
                for (int j = k + 1; j < n; j++) sum += a[i][j] * u[j];
                p[i] = beta * sum;
                dot += p[i] * u[i];
            }
            for (int i = k + 1; i < n; i++) p[i] -= beta * dot / 2 * u[i];
            for (int i = k + 1; i < n; i++)
                for (int j = k + 1; j < n; j++) a[i][j] -= u[i] * p[j] + p[i] * u[j];
            a[k + 1][k] = a[k][k + 1] = alpha;
            for (int i = k + 2; i < n; i++) a[i][k] = a[k][i] = 0;
            // rows of v collect the reflections: vᵀ ← vᵀ (1 − βuuᵀ)
            Array.Clear(p);
            for (int i = k + 1; i < n; i++)
                for (int j = 0; j < n; j++) p[j] += u[i] * v[i][j];
            for (int i = k + 1; i < n; i++)
            {
                double factor = beta * u[i];
                for (int j = 0; j < n; j++) v[i][j] -= factor * p[j];
            }
        }
        for (int i = 0; i < n; i++)
        {
            d[i] = a[i][i];
            e[i] = i > 0 ? a[i][i - 1] : 0;
        }
    }

    private static void Diagonalise(double[][] v, double[] d, double[] e)
    {
        int n = d.Length;
        for (int i = 1; i < n; i++) e[i - 1] = e[i];
        e[n - 1] = 0;
        for (int l = 0; l < n; l++)
        {
            for (int step = 0; step < MostSteps; step++)
            {
                int m = l;
                while (m < n - 1 && Math.Abs(e[m]) > 1e-15 * (Math.Abs(d[m]) + Math.Abs(d[m + 1]))) m++;
                if (m == l) break;
                double g = (d[l + 1] - d[l]) / (2 * e[l]), r = Math.Sqrt(g * g + 1);
                g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
                double sine = 1, cosine = 1, carried = 0;
                int i = m - 1;
                for (; i >= l; i--)
                {
                    double f = sine * e[i], b = cosine * e[i];
                    r = Math.Sqrt(f * f + g * g);
                    e[i + 1] = r;
                    if (r == 0)
                    {
                        d[i + 1] -= carried;
                        e[m] = 0;
                        break;
                    }
                    sine = f / r;
                    cosine = g / r;
                    g = d[i + 1] - carried;
                    double t = (d[i] - g) * sine + 2 * cosine * b;
                    carried = sine * t;
                    d[i + 1] = g + carried;
                    g = cosine * t - b;
                    double[] upper = v[i + 1], lower = v[i];
                    for (int k = 0; k < n; k++)
                    {
                        double x = upper[k];
                        upper[k] = sine * lower[k] + cosine * x;
                        lower[k] = cosine * lower[k] - sine * x;
                    }
                }
                if (r == 0 && i >= l) continue;
                d[l] -= carried;
                e[l] = g;
                e[m] = 0;
            }
        }
    }
}
