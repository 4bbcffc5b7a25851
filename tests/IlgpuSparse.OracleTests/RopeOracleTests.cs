using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;
using IlgpuSparse.OracleTests.Oracles;

namespace IlgpuSparse.OracleTests;

/// <summary><see cref="ComputeBackend.Rope"/> against ONNX's RotaryEmbedding operator, both pairings.</summary>
public sealed class RopeOracleTests
{
    [Theory]
    [InlineData(RopeStyle.HalfSplit, 64, 4, 10_000f)]
    [InlineData(RopeStyle.HalfSplit, 80, 3, 10_000f)]
    [InlineData(RopeStyle.HalfSplit, 256, 1, 500_000f)]
    [InlineData(RopeStyle.Interleaved, 64, 5, 10_000f)]
    [InlineData(RopeStyle.Interleaved, 96, 2, 10_000f)]
    [InlineData(RopeStyle.Interleaved, 128, 4, 100_000f)]
    public void Rotation(RopeStyle style, int headDim, int heads, float theta)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var backend = new CpuBackend();
        using var table = new RopeTable(backend, new LlamaConfig
        {
            ModelType = "llama",
            VocabularySize = 1,
            HiddenSize = heads * headDim,
            IntermediateSize = 1,
            Layers = 1,
            Heads = heads,
            KvHeads = heads,
            HeadDim = headDim,
            MaxContext = 8192,
            NormEpsilon = 1e-5f,
            RopeTheta = theta,
            RopeStyle = style,
        });

        int start = random.Next(8000);
        using var prefill = new StepBatch(backend, 37, 1, 64);
        prefill.SetPrefill(start, 37, new int[64]);
        Compare(prefill);

        int[] positions = [0, 1, 8191, random.Next(8192)];
        using var decode = new StepBatch(backend, positions.Length, positions.Length, 64);
        decode.SetDecode(positions, [.. positions.Select(_ => new int[64])]);
        Compare(decode);

        void Compare(StepBatch batch)
        {
            float[] x = Matrices.Normal(random, batch.Rows * heads * headDim);
            using var device = Matrices.Upload(backend, x);
            backend.Rope(table, batch, heads, device);
            float[] actual = ((DeviceSpan)device).ToArray<float>(x.Length);
            Matrices.AssertClose(Oracle(x, batch.HostPositions.ToArray()), actual, 1e-5, $"seed {seed}, {style}, head size {headDim}");
        }

        // ONNX looks cosines and sines up by row; here row i holds those of the batch's position i, computed in double precision.
        float[] Oracle(float[] x, int[] rowPositions)
        {
            int rows = rowPositions.Length, half = headDim / 2;
            var cos = new float[rows * half];
            var sin = new float[rows * half];
            for (int row = 0; row < rows; row++)
            {
                for (int i = 0; i < half; i++)
                {
                    // the frequency is fp32 in every implementation of Llama
                    double angle = rowPositions[row] * (double)(float)Math.Pow(theta, -2.0 * i / headDim);
                    (sin[row * half + i], cos[row * half + i]) = ((float)Math.Sin(angle), (float)Math.Cos(angle));
                }
            }
            float[] y = new OnnxGraph()
                .Input("x", Matrices.SwapOuter(x, rows, heads, headDim), 1, heads, rows, headDim)
                .Input("cos", cos, rows, half)
                .Input("sin", sin, rows, half)
                .Input("position", Enumerable.Range(0, rows).Select(i => (long)i).ToArray(), 1, rows)
                .Node("RotaryEmbedding", ["x", "cos", "sin", "position"], "y", ("interleaved", style == RopeStyle.Interleaved ? 1 : 0))
                .Run("y");
            return Matrices.SwapOuter(y, heads, rows, headDim);
        }
    }
}
