using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Causal attention on tensor cores against double precision: emulated on ILGPU's CPU accelerator with a small tile, and on CUDA with the real ones.</summary>
[Collection("accelerators")]
public sealed class TensorPrefillTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(2, 1, 64, KvFormat.F16, 0, 0, 40, ProductPrecision.Single)]
    [InlineData(1, 1, 64, KvFormat.F16, 0, 250, 35, ProductPrecision.Half)] // across an edge of two blocks
    [InlineData(1, 1, 80, KvFormat.BF16, 0, 17, 33, ProductPrecision.Single)]
    [InlineData(2, 2, 96, KvFormat.F16, 0, 3, 2, ProductPrecision.Half)]
    [InlineData(1, 1, 128, KvFormat.BF16, 0, 31, 34, ProductPrecision.Half)]
    [InlineData(1, 1, 256, KvFormat.F16, 0, 5, 30, ProductPrecision.Half)]
    [InlineData(2, 1, 64, KvFormat.F16, 1, 30, 20, ProductPrecision.Single)]
    [InlineData(1, 1, 64, KvFormat.F16, 21, 70, 64, ProductPrecision.Single)]
    public void Emulated(int heads, int kvHeads, int headDim, KvFormat format, int window, int start, int rows, ProductPrecision precision)
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator), precision);
        backend.PrefillAttention.FixedTile = PrefillTile.Of<TinyPrefill>();
        Check(backend, new(heads, kvHeads, headDim, window), format, start, rows, precision);
    }

    [Theory]
    [InlineData(ProductPrecision.Half)]
    [InlineData(ProductPrecision.Single)]
    public void Cuda(ProductPrecision precision)
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.Cuda), leaveOpen: true, precision);
        foreach (int headDim in HeadSizes.All)
        {
            foreach (var format in new[] { KvFormat.F16, KvFormat.BF16 })
            {
                foreach (int window in new[] { 0, 1, 50, 300 })
                {
                    Check(backend, new(8, 2, headDim, window), format, 0, 300, precision);
                    Check(backend, new(3, 3, headDim, window), format, 411, 140, precision);
                    Check(backend, new(2, 1, headDim, window), format, 255, 2, precision);
                }
            }
        }
    }

    private void Check(GpuBackend backend, AttentionShape shape, KvFormat format, int start, int rows, ProductPrecision precision)
    {
        using var test = new AttentionCase(backend, new Random(_seed), shape, format, start + rows);
        var batch = test.PrefillStep(start, rows);
        float[] q = test.Queries(rows, spread: 1);
        float[] y = test.Attend(batch, q);
        int width = shape.Heads * shape.HeadDim;
        // rounded queries move a logit of a few units by its 2⁻¹¹ or 2⁻⁸, rounded weights the mean of V by as much
        double tolerance = precision == ProductPrecision.Single ? 3e-5 : format == KvFormat.F16 ? 3e-3 : 2.5e-2;
        for (int row = 0; row < rows; row++)
            test.Compare(test.Expected(0, start + row, q.AsSpan(row * width, width)), y, row, $"{precision}, prefill of {rows} from {start} (seed {_seed})", tolerance);
    }
}
