using System.Collections.Concurrent;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>CUDA contexts that compile side by side: the driver takes up to a second for a kernel, and one kernel of a context at a time.</summary>
public sealed class CompilingDevices : IDisposable
{
    private readonly ConcurrentBag<GpuDevice> _idle = [];

    /// <summary>What the driver makes of <paramref name="variants"/>.</summary>
    internal IReadOnlyCollection<(KernelVariant Variant, KernelResources Resources)> Compile(IEnumerable<KernelVariant> variants)
    {
        var compiled = new ConcurrentBag<(KernelVariant, KernelResources)>();
        Parallel.ForEach(variants, new ParallelOptions { MaxDegreeOfParallelism = Math.Min(8, Environment.ProcessorCount) }, variant =>
        {
            if (!_idle.TryTake(out var device)) device = GpuDevice.Open(GpuKind.Cuda);
            try
            {
                compiled.Add((variant, device.Kernels.Resources(variant)!.Value));
            }
            finally
            {
                _idle.Add(device);
            }
        });
        return compiled;
    }

    public void Dispose()
    {
        foreach (var device in _idle) device.Dispose();
    }
}
