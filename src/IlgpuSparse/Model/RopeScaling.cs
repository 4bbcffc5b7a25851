namespace IlgpuSparse.Model;

/// <summary>Rotary frequency scaling with the parameters of the Llama 3.1 form.</summary>
public sealed record RopeScaling(RopeScalingKind Kind, float Factor = 1, float LowFrequencyFactor = 1, float HighFrequencyFactor = 4, int OriginalContext = 8192)
{
    /// <summary>No scaling.</summary>
    public static readonly RopeScaling None = new(RopeScalingKind.None);
}
