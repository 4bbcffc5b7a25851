using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The label cache of a GPU backend: the tests of every backend, on a device of one kind.</summary>
[Collection("accelerators")]
public abstract class GpuLabelCacheTests : LabelCacheTests, IDisposable
{
    private readonly Lazy<GpuBackend> _backend;

    private protected GpuLabelCacheTests(Accelerators accelerators, GpuKind kind) => _backend = new(() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true));

    protected override ComputeBackend Backend => _backend.Value;

    public void Dispose()
    {
        if (_backend.IsValueCreated) _backend.Value.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CudaLabelCacheTests(Accelerators accelerators) : GpuLabelCacheTests(accelerators, GpuKind.Cuda);

public sealed class OpenClLabelCacheTests(Accelerators accelerators) : GpuLabelCacheTests(accelerators, GpuKind.OpenCl);

public sealed class CpuAcceleratorLabelCacheTests(Accelerators accelerators) : GpuLabelCacheTests(accelerators, GpuKind.CpuAccelerator)
{
    // each word of a label is a thread of the operating system there
    protected override int Longest => 24;
}
