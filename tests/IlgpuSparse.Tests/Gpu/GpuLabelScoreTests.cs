using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Scores of a GPU backend: the tests of every backend, on a device of one kind.</summary>
[Collection("accelerators")]
public abstract class GpuLabelScoreTests : LabelScoreTests, IDisposable
{
    private readonly Lazy<GpuBackend> _backend;

    private protected GpuLabelScoreTests(Accelerators accelerators, GpuKind kind) => _backend = new(() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true));

    protected override ComputeBackend Backend => _backend.Value;

    protected override int Longest => 5000;

    public void Dispose()
    {
        if (_backend.IsValueCreated) _backend.Value.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CudaLabelScoreTests(Accelerators accelerators) : GpuLabelScoreTests(accelerators, GpuKind.Cuda);

public sealed class OpenClLabelScoreTests(Accelerators accelerators) : GpuLabelScoreTests(accelerators, GpuKind.OpenCl);
