namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>What a <see cref="FetchKernel"/> gathers rows for.</summary>
internal interface IFetchKind
{
    /// <summary>Whether they are for lists that were predicted: nothing is known of them but where they were put.</summary>
    static abstract bool Ahead { get; }

    /// <summary>Whether rows may have been brought ahead.</summary>
    static abstract bool Late { get; }
}
