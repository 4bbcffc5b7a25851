using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

public class CpuTokenSelectionTests : TokenSelectionTests, IDisposable
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

public sealed class CpuTokenSelection256Tests : CpuTokenSelectionTests
{
    protected override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) =>
        CpuSelect.Run(Pool, shape, rule, batch, scores, sets, vectorBits: 256);
}

public sealed class CpuTokenSelection128Tests : CpuTokenSelectionTests
{
    protected override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) =>
        CpuSelect.Run(Pool, shape, rule, batch, scores, sets, vectorBits: 128);
}
