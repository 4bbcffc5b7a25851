using System.Diagnostics;
using ILGPU;
using ILGPU.Backends;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>An opened accelerator with its kernels and the stream that operations run on.</summary>
public sealed class GpuDevice : IDisposable
{
    private readonly Context _context;
    private bool _disposed;

    private GpuDevice(Context context, GpuKind kind, int index, DeviceReport report)
    {
        _context = context;
        Kind = kind;
        Report = report;
        // who waits for the device gives the processor away: a long prompt or a large model would keep a core busy with asking
        Accelerator = context.Devices[index] is CudaDevice found ? found.CreateCudaAccelerator(context, CudaAcceleratorFlags.ScheduleBlockingSync) : context.Devices[index].CreateAccelerator(context);
        Kernels = new KernelTable(this);
        Stream = Accelerator.CreateStream();
        if (kind == GpuKind.Cuda) Staging = new PinnedStaging(this);
        CopiesInBulk = Accelerator is not CudaAccelerator || BulkCopy.IsKnownTo((PTXBackend)Accelerator.GetBackend());
        HasClusters = Accelerator is CudaAccelerator ? ThreadCluster.IsKnownTo((PTXBackend)Accelerator.GetBackend()) : kind == GpuKind.CpuAccelerator;
        if (CopiesInBulk) Maps = new StageMaps(this);
        StartsKernelsEarly = Accelerator is CudaAccelerator { Architecture.Major: int major } && DependentLaunch.IsKnownTo(major) && CudaDriver.Version() >= DependentLaunch.LeastDriver;
        MaxSharedBytes = Accelerator is CudaAccelerator cuda ? CudaDriver.MaxSharedBytes(cuda.DeviceId) : Math.Min(Accelerator.MaxSharedMemoryPerGroup, 48 * 1024);
    }

    /// <summary>Which accelerator it is.</summary>
    public GpuKind Kind { get; }

    /// <summary>Name and details.</summary>
    public DeviceReport Report { get; }

    /// <summary>Streaming multiprocessors or compute units: sizes grids.</summary>
    public int Multiprocessors => Accelerator.NumMultiprocessors;

    /// <summary>Most threads a group.</summary>
    public int MaxGroupSize => Accelerator.MaxNumThreadsPerGroup;

    /// <summary>Most shared memory a group, static and dynamic, in bytes; beyond 48 KB only as dynamic memory on CUDA.</summary>
    public int MaxSharedBytes { get; }

    /// <summary>ILGPU's accelerator.</summary>
    internal Accelerator Accelerator { get; }

    /// <summary>The compiled kernels.</summary>
    internal KernelTable Kernels { get; }

    /// <summary>Where everything runs, in order.</summary>
    internal AcceleratorStream Stream { get; }

    /// <summary>Page-locked memory for uploads; null where there is none.</summary>
    internal PinnedStaging? Staging { get; }

    /// <summary>Whether warp shuffles and PTX operations can be used.</summary>
    internal bool IsCuda => Kind == GpuKind.Cuda;

    /// <summary>Whether kernels may have the copy engine bring what they read: see <see cref="BulkCopy"/> and <see cref="TensorCopy"/>.</summary>
    internal bool CopiesInBulk { get; set; }

    /// <summary>Maps of weights for the copy engine; null on a device that has none.</summary>
    internal StageMaps? Maps { get; }

    /// <summary>Whether kernels may have clusters of groups, or what stands for them on the CPU accelerator: see <see cref="ThreadCluster"/>.</summary>
    internal bool HasClusters { get; }

    /// <summary>Whether kernels of a <see cref="CudaGraph"/> start before their predecessors have finished: see <see cref="DependentLaunch"/>.</summary>
    internal bool StartsKernelsEarly { get; set; }

    /// <summary>Whether a <see cref="CudaGraph"/> is being recorded: nothing may allocate, or copy from or to the host or wait on <see cref="Stream"/>.</summary>
    internal bool IsCapturing { get; set; }

    /// <summary>What every byte of new buffers is set to; null leaves them as they come. Whoever reads memory that nobody wrote gives other results with another value: for tests.</summary>
    internal byte? FreshByte { get; set; }

    /// <summary>Told of every allocation, kernel that is looked up and wait before it is done: tests have them fail as a device would.</summary>
    internal Action<string>? Before { get; set; }

    /// <summary>Seconds that went into compiling and loading kernels and into recording graphs.</summary>
    internal double PreparationSeconds { get; private set; }

    /// <summary>Bytes of the device in use, by whomever; null where the driver does not say.</summary>
    internal long? UsedBytes
    {
        get
        {
            if (!IsCuda) return null;
            Accelerator.Bind();
            var (free, total) = CudaDriver.MemoryInfo();
            return total - free;
        }
    }

    /// <summary>The CUDA stream handle.</summary>
    internal IntPtr StreamHandle => ((CudaStream)Stream).StreamPtr;

    /// <summary>All devices that were found, and why some cannot be used. Loads driver libraries; never throws for a missing one.</summary>
    public static IReadOnlyList<DeviceReport> Find() => GpuContext.Find();

    /// <summary>Opens device <paramref name="index"/> among the usable ones of <paramref name="kind"/>.</summary>
    /// <exception cref="InvalidOperationException">There is no such device; the message has the reason.</exception>
    public static GpuDevice Open(GpuKind kind, int index = 0) => Create(kind, index, groups: 1);

    /// <summary>The CPU accelerator with <paramref name="groups"/> groups at once, for kernels of one cluster of as many: see <see cref="EmulatedCluster"/>.</summary>
    internal static GpuDevice OpenEmulatingClusters(int groups) => Create(GpuKind.CpuAccelerator, 0, groups);

    private static GpuDevice Create(GpuKind kind, int index, int groups)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        var reports = Find().Where(report => report.Kind == kind).ToList();
        var report = reports.Find(r => r.Index == index)
            ?? throw new InvalidOperationException($"no {kind} device {index}: {string.Join("; ", reports.Select(r => r.ToString()))}");
        var context = GpuContext.Create(kind, groups);
        try
        {
            return new GpuDevice(context, kind, index, report);
        }
        catch
        {
            context.Dispose();
            throw;
        }
    }

    /// <summary>Free memory in words, for messages.</summary>
    internal string FreeMemory()
    {
        if (!IsCuda) return $"{Accelerator.MemorySize:N0} bytes of memory";
        Accelerator.Bind();
        var (free, total) = CudaDriver.MemoryInfo();
        return $"{free:N0} of {total:N0} bytes free";
    }

    /// <summary>Adds the time since <paramref name="start"/>, a <see cref="Stopwatch"/> timestamp, to <see cref="PreparationSeconds"/>.</summary>
    internal void NotePreparation(long start) => PreparationSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;

    /// <summary>Waits until everything on the stream is done.</summary>
    internal void Synchronize()
    {
        Before?.Invoke("wait");
        Stream.Synchronize();
    }

    /// <summary>Waits for the main stream and for <paramref name="other"/> before something is disposed. A device that has failed does nothing more: what was made on it has to go all the same, and the first error is the one to report.</summary>
    internal void Settle(AcceleratorStream? other = null)
    {
        try
        {
            Synchronize();
            other?.Synchronize();
        }
        catch (Exception e) when (e is AcceleratorException or CudaDriverException)
        {
        }
    }

    /// <summary>Disposes kernels, stream and accelerator; buffers must have been disposed before.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Settle();
        Staging?.Dispose();
        Maps?.Dispose();
        Kernels.Dispose();
        Stream.Dispose();
        Accelerator.Dispose();
        _context.Dispose();
    }
}
