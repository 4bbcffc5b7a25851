using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The kernels on ILGPU's CPU accelerator, with short sequences: each GPU thread is a thread of the operating system.</summary>
[Collection("accelerators")]
public sealed class CpuAcceleratorAttentionTests(Accelerators accelerators) : AttentionProperties
{
    // set before the base class asks for the backend
    private readonly Accelerators _accelerators = accelerators;

    protected override int LongestLength => 20;

    protected override int ManySplitsLength => 300;

    protected override ComputeBackend CreateBackend() => GpuBackend.Create(_accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
}
