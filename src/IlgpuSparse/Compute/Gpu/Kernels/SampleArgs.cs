namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Numbers of a <see cref="SampleKernel"/> launch.</summary>
internal struct SampleArgs
{
    /// <summary>Tokens.</summary>
    public int Vocabulary;

    /// <summary>Bits of the largest id.</summary>
    public int IdBits;

    /// <summary>1 over the temperature.</summary>
    public float InverseTemperature;

    /// <summary>Least probability, relative to the most likely token's, that can matter.</summary>
    public float Least;

    /// <summary>Least probability that is kept after the other filters.</summary>
    public float Floor;

    /// <summary>Most tokens; 0 for all.</summary>
    public int TopK;

    /// <summary>Probability of the kept tokens in 2^-32; 2^32 for all.</summary>
    public ulong TopP;

    /// <summary>Seed.</summary>
    public ulong Seed;
}
