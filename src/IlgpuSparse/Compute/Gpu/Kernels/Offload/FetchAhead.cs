namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Predicted lists of the next layer.</summary>
internal readonly struct FetchAhead : IFetchKind
{
    public static bool Ahead => true;

    public static bool Late => false;
}
