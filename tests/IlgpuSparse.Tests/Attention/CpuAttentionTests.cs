using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The managed kernels, with as many threads as there are cores.</summary>
public sealed class CpuAttentionTests : AttentionProperties
{
    protected override ComputeBackend CreateBackend() => new CpuBackend();
}

/// <summary>As far as processors without 512-bit vectors go.</summary>
public sealed class CpuAttention256Tests : AttentionProperties
{
    protected override ComputeBackend CreateBackend() => new CpuBackend { VectorBits = 256 };
}

/// <summary>As far as every processor goes.</summary>
public sealed class CpuAttention128Tests : AttentionProperties
{
    protected override ComputeBackend CreateBackend() => new CpuBackend { VectorBits = 128 };
}

/// <summary>Halves unpacked as this processor does not do it: without subnormal singles where those cost nothing, with them elsewhere.</summary>
public sealed class CpuAttentionOtherHalvesTests : AttentionProperties
{
    protected override ComputeBackend CreateBackend() => new CpuBackend { ShiftHalves = !Subnormals.AreFree };
}
