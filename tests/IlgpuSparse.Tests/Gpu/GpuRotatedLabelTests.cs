using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Projections and bit planes of a GPU backend: the tests of every backend, on a device of one kind.</summary>
[Collection("accelerators")]
public abstract class GpuRotatedLabelTests : RotatedLabelTests, IDisposable
{
    private readonly Lazy<GpuBackend> _backend;

    private protected GpuRotatedLabelTests(Accelerators accelerators, GpuKind kind) => _backend = new(() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true));

    protected override ComputeBackend Backend => _backend.Value;

    public void Dispose()
    {
        if (_backend.IsValueCreated) _backend.Value.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CudaRotatedLabelTests(Accelerators accelerators) : GpuRotatedLabelTests(accelerators, GpuKind.Cuda);

public sealed class OpenClRotatedLabelTests(Accelerators accelerators) : GpuRotatedLabelTests(accelerators, GpuKind.OpenCl);

public sealed class CpuAcceleratorRotatedLabelTests(Accelerators accelerators) : GpuRotatedLabelTests(accelerators, GpuKind.CpuAccelerator)
{
    // each place of a label is a thread of the operating system there
    protected override int MostRows => 10;
}
