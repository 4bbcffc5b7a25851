namespace IlgpuSparse.Compute.Gpu;

/// <summary>The CUDA driver refused a call.</summary>
/// <param name="code">The driver's CUresult.</param>
/// <param name="name">Its name: CUDA_ERROR_OUT_OF_MEMORY.</param>
/// <param name="description">Its description.</param>
public sealed class CudaDriverException(int code, string name, string description) : Exception($"{name}: {description}")
{
    /// <summary>The driver's CUresult.</summary>
    public int Code => code;
}
