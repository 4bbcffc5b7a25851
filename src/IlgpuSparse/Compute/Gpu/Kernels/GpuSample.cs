using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Generation;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="SampleKernel"/>.</summary>
internal sealed class GpuSample(GpuDevice device)
{
    private Launcher? _launch;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> logits, ArrayView<int> draws, ArrayView<int> ids, SampleArgs args);

    /// <summary>ids[row] = a draw from logits[row].</summary>
    public void Run(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids, AcceleratorStream stream)
    {
        if (rows == 0) return;
        _launch ??= device.Kernels.Load<Launcher>(SampleKernel.Variant);
        var args = new SampleArgs
        {
            Vocabulary = vocabulary,
            IdBits = Math.Max(1, 32 - BitOperations.LeadingZeroCount((uint)(vocabulary - 1))),
            InverseTemperature = options.Temperature == 0 ? 0f : 1f / options.Temperature,
            Least = Sampler.LeastProbability,
            Floor = Math.Max(options.MinP, Sampler.LeastProbability),
            TopK = options.TopK,
            TopP = options.TopP < 1 ? (ulong)(options.TopP * 4294967296.0) : 1UL << 32,
            Seed = options.Seed,
        };
        _launch(stream, new KernelConfig(rows, device.GroupSize(SampleKernel.GroupSize)), GpuBuffer.View<float>(logits, (long)rows * vocabulary), GpuBuffer.View<int>(draws, rows), GpuBuffer.View<int>(ids, rows), args);
    }
}
