using System.Collections.Concurrent;
using System.Diagnostics;
using ILGPU;
using ILGPU.Backends;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// The kernels of one device, each compiled at first use and kept with its launcher. ILGPU's own caches hold kernels weakly and would compile them again; they also have no place for
/// the passes of <see cref="KernelPasses"/>.
/// </summary>
internal sealed class KernelTable(GpuDevice device) : IDisposable
{
    /// <summary>Dynamic shared memory that every CUDA device grants without being asked.</summary>
    private const int PlainSharedBytes = 48 * 1024;

    private readonly ConcurrentDictionary<KernelVariant, LoadedKernel> _kernels = new();
    private readonly Lock _lock = new();

    private Accelerator Accelerator => device.Accelerator;

    /// <summary>
    /// The launcher of <paramref name="variant"/>. <typeparamref name="TLaunch"/> is a delegate with the kernel's parameters after an <see cref="AcceleratorStream"/> and a
    /// <see cref="KernelConfig"/>: <c>Action&lt;AcceleratorStream, KernelConfig, ArrayView&lt;float&gt;, int&gt;</c>.
    /// </summary>
    public TLaunch Load<TLaunch>(KernelVariant variant) where TLaunch : Delegate
    {
        device.Before?.Invoke(variant.Name);
        var kernel = Get(variant);
        lock (_lock) kernel.Launch ??= kernel.Kernel.CreateLauncherDelegate<TLaunch>();
        return (TLaunch)kernel.Launch;
    }

    /// <summary>Registers and local bytes a thread, as the CUDA driver compiled <paramref name="variant"/>; null on other accelerators.</summary>
    public KernelResources? Resources(KernelVariant variant)
    {
        if (Get(variant).Kernel is not CudaKernel kernel) return null;
        Accelerator.Bind();
        return new KernelResources(
            CudaDriver.FunctionAttribute(kernel.FunctionPtr, CudaDriver.AttributeRegisters),
            CudaDriver.FunctionAttribute(kernel.FunctionPtr, CudaDriver.AttributeLocalBytes),
            CudaDriver.FunctionAttribute(kernel.FunctionPtr, CudaDriver.AttributeSharedBytes));
    }

    /// <summary>Clusters of <paramref name="variant"/> with so much dynamic shared memory a group that the device runs at once; 0 where it has none.</summary>
    public int ActiveClusters(KernelVariant variant, int dynamicSharedBytes)
    {
        if (!device.IsCuda || !device.HasClusters || Get(variant).Kernel is not CudaKernel kernel) return 0;
        Accelerator.Bind();
        return CudaDriver.ActiveClusters(kernel.FunctionPtr, variant.ClusterSize, variant.GroupSize, dynamicSharedBytes);
    }

    /// <summary>Groups of <paramref name="variant"/> with so much dynamic shared memory that a multiprocessor runs at once; 0 on other accelerators.</summary>
    public int ActiveGroups(KernelVariant variant, int dynamicSharedBytes)
    {
        if (Get(variant).Kernel is not CudaKernel kernel) return 0;
        Accelerator.Bind();
        return CudaDriver.ActiveGroups(kernel.FunctionPtr, variant.GroupSize, dynamicSharedBytes);
    }

    private LoadedKernel Get(KernelVariant variant)
    {
        if (_kernels.TryGetValue(variant, out var known)) return known;
        lock (_lock)
        {
            if (_kernels.TryGetValue(variant, out known)) return known;
            if (device.IsCapturing) throw new InvalidOperationException($"{variant.Name} cannot be loaded while a CUDA graph is recorded: run the work once before");
            long start = Stopwatch.GetTimestamp();
            var kernel = Accelerator.LoadKernel(variant.Compile(Accelerator.GetBackend()));
            device.NotePreparation(start);
            if (variant.DynamicSharedBytes > PlainSharedBytes && kernel is CudaKernel cuda)
            {
                Accelerator.Bind();
                CudaDriver.AllowDynamicShared(cuda.FunctionPtr, variant.DynamicSharedBytes);
            }
            if (variant.ClusterSize > ThreadCluster.PortableSize && kernel is CudaKernel large)
            {
                Accelerator.Bind();
                CudaDriver.AllowLargeClusters(large.FunctionPtr);
            }
            return _kernels[variant] = new LoadedKernel(kernel);
        }
    }

    public void Dispose()
    {
        foreach (var kernel in _kernels.Values) kernel.Kernel.Dispose();
        _kernels.Clear();
    }

    private sealed class LoadedKernel(Kernel kernel)
    {
        public Kernel Kernel => kernel;

        public Delegate? Launch { get; set; }
    }
}
