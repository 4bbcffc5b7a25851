using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The kernels on a CUDA device.</summary>
[Collection("accelerators")]
public sealed class CudaAttentionTests(Accelerators accelerators) : AttentionProperties
{
    // set before the base class asks for the backend
    private readonly Accelerators _accelerators = accelerators;

    protected override ComputeBackend CreateBackend() => GpuBackend.Create(_accelerators.Open(GpuKind.Cuda), leaveOpen: true);
}
