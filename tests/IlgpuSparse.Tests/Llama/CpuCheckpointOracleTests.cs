using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Llama;

/// <summary>On the managed code.</summary>
public sealed class CpuCheckpointOracleTests : CheckpointOracleTests
{
    protected override ComputeBackend CreateBackend() => new CpuBackend(2);
}
