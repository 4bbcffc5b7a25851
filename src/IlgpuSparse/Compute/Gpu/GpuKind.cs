namespace IlgpuSparse.Compute.Gpu;

/// <summary>Which of ILGPU's accelerators runs the kernels.</summary>
public enum GpuKind
{
    /// <summary>An NVIDIA GPU through the CUDA driver.</summary>
    Cuda,
    /// <summary>An OpenCL 2.0 device with a generic address space.</summary>
    OpenCl,
    /// <summary>ILGPU's CPU accelerator: one thread of the operating system a GPU thread. For tests of the kernels' meaning, not for use.</summary>
    CpuAccelerator,
}
