using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Llama;

/// <summary>On an accelerator; decode steps are recorded where it can.</summary>
[Collection("accelerators")]
public abstract class GpuCheckpointOracleTests(Accelerators accelerators, GpuKind kind) : CheckpointOracleTests
{
    protected override ComputeBackend CreateBackend() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
}

public sealed class CudaCheckpointOracleTests(Accelerators accelerators) : GpuCheckpointOracleTests(accelerators, GpuKind.Cuda);

public sealed class OpenClCheckpointOracleTests(Accelerators accelerators) : GpuCheckpointOracleTests(accelerators, GpuKind.OpenCl);
