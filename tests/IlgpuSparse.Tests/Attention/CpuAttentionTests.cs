using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The managed kernels, with as many threads as there are cores.</summary>
public sealed class CpuAttentionTests : AttentionProperties
{
    protected override ComputeBackend CreateBackend() => new CpuBackend();
}
