using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;
using IlgpuSparse.OracleTests.Oracles;

namespace IlgpuSparse.OracleTests;

/// <summary><see cref="ComputeBackend.RmsNorm"/> against ONNX's RMSNormalization operator.</summary>
public sealed class RmsNormOracleTests
{
    [Theory]
    [InlineData(1, 64, 1e-5f, 1f)]
    [InlineData(3, 65, 1e-6f, 100f)]
    [InlineData(7, 384, 1e-5f, 1e-3f)]
    [InlineData(2, 4096, 1e-5f, 1f)]
    [InlineData(5, 1, 1e-5f, 1f)]
    public void Rows(int rows, int width, float epsilon, float size)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        float[] x = [.. Matrices.Normal(random, rows * width).Select(v => v * size)];
        float[] weight = Matrices.Normal(random, width);
        using var backend = new CpuBackend();
        using var matrix = new WeightMatrix("norm", WeightFormat.F32, 1, width, Matrices.Upload(backend, weight));
        using var device = Matrices.Upload(backend, x);
        using var y = backend.Allocate(x.Length * sizeof(float), "test");
        backend.RmsNorm(device, matrix, epsilon, rows, y);

        float[] expected = new OnnxGraph()
            .Input("x", x, rows, width)
            .Input("weight", weight, width)
            .Node("RMSNormalization", ["x", "weight"], "y", ("epsilon", epsilon), ("axis", -1))
            .Run("y");
        Matrices.AssertClose(expected, ((DeviceSpan)y).ToArray<float>(x.Length), 5e-6, $"seed {seed}");
    }
}
