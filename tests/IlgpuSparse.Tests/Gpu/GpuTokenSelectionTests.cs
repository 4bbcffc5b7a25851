using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Tests.Attention;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Token sets of a GPU backend: the tests of every backend, on a device of one kind.</summary>
[Collection("accelerators")]
public abstract class GpuTokenSelectionTests : TokenSelectionTests, IDisposable
{
    private readonly Lazy<GpuBackend> _backend;

    private protected GpuTokenSelectionTests(Accelerators accelerators, GpuKind kind) => _backend = new(() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true));

    protected override ComputeBackend Backend => _backend.Value;

    private protected GpuBackend Gpu => _backend.Value;

    public void Dispose()
    {
        if (_backend.IsValueCreated) _backend.Value.Dispose();
        GC.SuppressFinalize(this);
    }
}

public sealed class CudaTokenSelectionTests(Accelerators accelerators) : GpuTokenSelectionTests(accelerators, GpuKind.Cuda);

public sealed class OpenClTokenSelectionTests(Accelerators accelerators) : GpuTokenSelectionTests(accelerators, GpuKind.OpenCl);

/// <summary>Several groups a set, whatever the length.</summary>
public sealed class CudaSplitTokenSelectionTests(Accelerators accelerators) : GpuTokenSelectionTests(accelerators, GpuKind.Cuda)
{
    private GpuSelect? _select;

    protected override IReadOnlyList<int> Lengths => [1, 16, 4097, 8191, 8192, 8193, 70_000];

    protected override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets)
    {
        var device = Gpu.Device;
        // twice: the scratch memory must be clean after each selection
        _select ??= new GpuSelect(device, new GpuScore(device), Gpu.Memory) { OneGroupTokens = 0 };
        _select.Run(shape, rule, batch, scores, sets, device.Stream);
        _select.Run(shape, rule, batch, scores, sets, device.Stream);
    }
}
