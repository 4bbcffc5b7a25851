using System.Numerics;
using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Generation;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Launches <see cref="GreedyKernel"/> or <see cref="SampleKernel"/>.</summary>
internal sealed class GpuSample(GpuDevice device, MemoryLedger ledger) : IDisposable
{
    private Launcher? _launch;
    private GreedyLauncher? _greedy;
    private Action<AcceleratorStream, KernelConfig, ArrayView<ulong>, ArrayView<int>, int>? _merge;
    private GpuBuffer? _places;

    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> logits, ArrayView<int> draws, ArrayView<int> ids, SampleArgs args);

    private delegate void GreedyLauncher(AcceleratorStream stream, KernelConfig config, ArrayView<float> logits, ArrayView<ulong> places, ArrayView<int> ids, int vocabulary);

    /// <summary>ids[row] = a draw from logits[row].</summary>
    public void Run(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids, AcceleratorStream stream)
    {
        if (rows == 0) return;
        var numbers = GpuBuffer.View<float>(logits, (long)rows * vocabulary);
        var tokens = GpuBuffer.View<int>(ids, rows);
        if (options.Temperature == 0)
        {
            Greedy(numbers, rows, vocabulary, tokens, stream);
            return;
        }
        _launch ??= device.Kernels.Load<Launcher>(SampleKernel.Variant);
        var args = new SampleArgs
        {
            Vocabulary = vocabulary,
            IdBits = Math.Max(1, 32 - BitOperations.LeadingZeroCount((uint)(vocabulary - 1))),
            InverseTemperature = 1f / options.Temperature,
            Least = Sampler.LeastProbability,
            Floor = Math.Max(options.MinP, Sampler.LeastProbability),
            TopK = options.TopK,
            TopP = options.TopP < 1 ? (ulong)(options.TopP * 4294967296.0) : 1UL << 32,
            Seed = options.Seed,
        };
        _launch(stream, new KernelConfig(rows, device.GroupSize(SampleKernel.GroupSize)), numbers, GpuBuffer.View<int>(draws, rows), tokens, args);
    }

    private void Greedy(ArrayView<float> logits, int rows, int vocabulary, ArrayView<int> ids, AcceleratorStream stream)
    {
        int parts = LaunchShapes.Groups(vocabulary, GreedyKernel.PartLogits);
        _greedy ??= device.Kernels.Load<GreedyLauncher>(GreedyKernel.Variant);
        long bytes = parts > 1 ? (long)rows * parts * sizeof(ulong) : sizeof(ulong);
        if (_places is null || _places.ByteLength < bytes)
        {
            _places?.Dispose();
            _places = new GpuBuffer(device, bytes, "step", ledger);
        }
        var places = GpuBuffer.View<ulong>(_places);
        _greedy(stream, new KernelConfig(new Index3D(parts, rows, 1), new Index3D(device.GroupSize(GreedyKernel.GroupSize), 1, 1)), logits, places, ids, vocabulary);
        if (parts == 1) return;
        _merge ??= device.Kernels.Load<Action<AcceleratorStream, KernelConfig, ArrayView<ulong>, ArrayView<int>, int>>(GreedyKernel.MergeVariant);
        _merge(stream, new KernelConfig(rows, device.GroupSize(GreedyKernel.MergeSize)), places, ids, parts);
    }

    public void Dispose() => _places?.Dispose();
}
