using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

public class CpuRotatedLabelTests : RotatedLabelTests, IDisposable
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

public sealed class CpuRotatedLabel256Tests : CpuRotatedLabelTests
{
    protected override void Project(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => CpuProjectHeads.Run<Simd256>(Pool, projection, heads, x, rows, y);
}

public sealed class CpuRotatedLabel128Tests : CpuRotatedLabelTests
{
    protected override void Project(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => CpuProjectHeads.Run<Simd128>(Pool, projection, heads, x, rows, y);
}
