namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>The lists of a step, without prediction.</summary>
internal readonly struct FetchNow : IFetchKind
{
    public static bool Ahead => false;

    public static bool Late => false;
}
