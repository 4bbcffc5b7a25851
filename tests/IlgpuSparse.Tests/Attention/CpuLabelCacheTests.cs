using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

public class CpuLabelCacheTests : LabelCacheTests, IDisposable
{
    private readonly CpuBackend _backend = new(threads: 3);

    protected override ComputeBackend Backend => _backend;

    private protected WorkerPool Pool => _backend.Pool;

    public void Dispose()
    {
        _backend.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CpuLabelCache256Tests : CpuLabelCacheTests
{
    protected override void Append(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => CpuLabels.Append<Simd256>(Pool, shape, labels, batch, k);
}

public sealed class CpuLabelCache128Tests : CpuLabelCacheTests
{
    protected override void Append(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => CpuLabels.Append<Simd128>(Pool, shape, labels, batch, k);
}
