namespace IlgpuSparse.Model;

/// <summary>How rotary frequencies are stretched.</summary>
public enum RopeScalingKind
{
    /// <summary>Not at all.</summary>
    None,
    /// <summary>Positions divided by <see cref="RopeScaling.Factor"/>.</summary>
    Linear,
    /// <summary>Llama 3.1: low frequencies divided, high ones kept, a smooth ramp between.</summary>
    Llama3,
}
