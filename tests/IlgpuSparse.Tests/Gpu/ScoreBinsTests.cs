using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The bins of scores, and the scores that tell them apart.</summary>
[Collection("accelerators")]
public sealed class ScoreBinsTests(Accelerators accelerators)
{
    [Theory]
    [InlineData(1f)]
    [InlineData(0.37f)]
    [InlineData(25.1f)]
    // scores of which many about zero have one place, and the ends of what is allowed
    [InlineData(3e-4f)]
    [InlineData(1e-37f)]
    [InlineData(1e30f)]
    public void GreatestScoresEndWhatIsBehindABin(float inverse)
    {
        var device = accelerators.Open(GpuKind.CpuAccelerator);
        using var found = device.Accelerator.Allocate1D<float>(ScoreBins.Bins);
        using var lower = device.Accelerator.Allocate1D<float>(ScoreBins.Bins);
        device.Kernels.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, int, float>>(KernelVariant.Of(Bounds, 32))(device.Stream, new KernelConfig(1, 32), found.View, lower.View, ScoreBins.Bins, inverse);
        device.Synchronize();
        float[] greatest = found.GetAsArray1D();
        // no score is above what is not a number: nothing is before the first bin
        Assert.True(float.IsNaN(greatest[0]));
        Assert.Equal(greatest[1..], lower.GetAsArray1D()[1..]);
        for (int bin = 1; bin < ScoreBins.Bins; bin++)
        {
            float score = greatest[bin], above = MathF.BitIncrement(score);
            Assert.True(ScoreBins.Of(score, inverse) >= bin, $"{score} at bin {bin}, {inverse}: has bin {ScoreBins.Of(score, inverse)}");
            Assert.True(ScoreBins.Of(above, inverse) < bin, $"{above} above {score} at bin {bin}, {inverse}: has bin {ScoreBins.Of(above, inverse)}");
        }
    }

    [Fact]
    public void CodesAreFinerBins()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int i = 0; i < 200_000; i++)
        {
            float inverse = MathF.Exp(20 * random.NextSingle() - 10), score = (random.NextSingle() * 2 - 1) * MathF.Exp(30 * random.NextSingle() - 20), higher = random.Next(2) == 0 ? MathF.BitIncrement(score) : score + MathF.Abs(score) * random.NextSingle();
            int code = ScoreBins.Code(score, inverse);
            Assert.True(code is >= 0 and < 1 << ScoreBins.CodeBits && code >> ScoreBins.CodeShift == ScoreBins.Of(score, inverse) && ScoreBins.Code(higher, inverse) <= code, $"seed {seed}: {score} and {higher}, {inverse}: {code}, {ScoreBins.Code(higher, inverse)}");
        }
        foreach (float score in (float[])[float.NaN, float.NegativeInfinity, -1e38f]) Assert.Equal((1 << ScoreBins.CodeBits) - 1, ScoreBins.Code(score, 1e10f));
        foreach (float score in (float[])[float.PositiveInfinity, 1e38f]) Assert.Equal(0, ScoreBins.Code(score, 1e10f));
    }

    private static void Bounds(ArrayView<float> greatest, ArrayView<float> lower, int bins, float inverse)
    {
        for (int bin = 0; bin < bins; bin++)
        {
            var bounds = FilterBounds.Of(bin, inverse);
            if (Group.IdxX == 0) greatest[bin] = bounds.High;
            if (Group.IdxX == 0 && bin + 1 < bins) lower[bin + 1] = bounds.Low;
        }
    }
}
