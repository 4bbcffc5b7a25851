using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Cpu.Labels;

namespace IlgpuSparse.Tests.Attention;

public class CpuLabelScoreTests : LabelScoreTests, IDisposable
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

public sealed class CpuLabelScore256Tests : CpuLabelScoreTests
{
    protected override void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores)
    {
        if (Avx2.IsSupported && labels.Format.Bits() <= 4) CpuScore.Run<CrumbScorer, Simd256>(Pool, shape, labels, batch, q, reduction, scores);
        else CpuScore.RunPlain<Simd256>(Pool, shape, labels, batch, q, reduction, scores);
    }
}

public sealed class CpuLabelScore128Tests : CpuLabelScoreTests
{
    protected override void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores) =>
        CpuScore.RunPlain<Simd128>(Pool, shape, labels, batch, q, reduction, scores);
}
