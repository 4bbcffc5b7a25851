namespace IlgpuSparse.Compute;

/// <summary>Bits and meaning of one label channel.</summary>
public enum LabelFormat
{
    /// <summary>The channel itself in half precision; no offset, no scale.</summary>
    F16,
    /// <summary>8-bit codes.</summary>
    Int8,
    /// <summary>4-bit codes.</summary>
    Int4,
    /// <summary>2-bit codes.</summary>
    Int2,
    /// <summary>1-bit codes: the sign of the centred channel.</summary>
    Int1,
}

/// <summary>Where the offset and scale of quantised labels come from.</summary>
public enum LabelScaling
{
    /// <summary>One offset and step a (layer, kv head, channel), from calibration. Nothing is stored a token: the step is folded into the query, the offset cancels in ranking.</summary>
    Static,
    /// <summary>The paper's form: minimum and step of each token's r channels, two fp16 numbers stored beside its codes (32 more bits).</summary>
    PerToken,
}

/// <summary>Sizes of the <see cref="LabelFormat"/>s.</summary>
public static class LabelFormats
{
    /// <summary>Bits a channel.</summary>
    public static int Bits(this LabelFormat format) => format switch
    {
        LabelFormat.F16 => 16,
        LabelFormat.Int8 => 8,
        LabelFormat.Int4 => 4,
        LabelFormat.Int2 => 2,
        LabelFormat.Int1 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };

    /// <summary>The quantiser step, in standard deviations, that is optimal for a Gaussian channel (Max 1960, uniform quantiser).</summary>
    public static float GaussianStep(this LabelFormat format) => format switch
    {
        LabelFormat.Int8 => 0.03076f,
        LabelFormat.Int4 => 0.3352f,
        LabelFormat.Int2 => 0.9957f,
        LabelFormat.Int1 => 1.5958f,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, "fp16 labels have no quantiser"),
    };
}
