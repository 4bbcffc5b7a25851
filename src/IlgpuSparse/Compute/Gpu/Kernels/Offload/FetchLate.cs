namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>The lists of a step, most of whose rows were brought ahead.</summary>
internal readonly struct FetchLate : IFetchKind
{
    public static bool Ahead => false;

    public static bool Late => true;
}
