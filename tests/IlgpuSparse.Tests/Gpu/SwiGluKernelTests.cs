using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels;

namespace IlgpuSparse.Tests.Gpu;

[Collection("accelerators")]
public class SwiGluKernelTests(Accelerators accelerators)
{
    [Theory]
    [InlineData(GpuKind.CpuAccelerator)]
    [InlineData(GpuKind.OpenCl)]
    [InlineData(GpuKind.Cuda)]
    public void MatchesReference(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        var ledger = new MemoryLedger();
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        const int count = 200;
        var gate = Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 8 - 4)).ToArray();
        var up = Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 2 - 1)).ToArray();
        using var gateBuffer = new GpuBuffer(device, count * 4, "test", ledger);
        using var upBuffer = new GpuBuffer(device, count * 4, "test", ledger);
        ((DeviceSpan)gateBuffer).Upload<float>(gate);
        ((DeviceSpan)upBuffer).Upload<float>(up);

        var launch = device.Kernels.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, long>>(SwiGluKernel.Variant);
        launch(device.Stream, new KernelConfig(2, 128), GpuBuffer.View<float>(gateBuffer), GpuBuffer.View<float>(upBuffer), count);

        var actual = ((DeviceSpan)gateBuffer).ToArray<float>(count);
        for (int i = 0; i < count; i++)
        {
            double expected = gate[i] / (1 + Math.Exp(-(double)gate[i])) * up[i];
            Assert.True(Math.Abs(expected - actual[i]) < 1e-5, $"seed {seed}, element {i}: {actual[i]}, expected {expected}");
        }
    }
}
