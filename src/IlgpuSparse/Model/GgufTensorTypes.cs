namespace IlgpuSparse.Model;

/// <summary>GGUF tensor types, as numbered in the file.</summary>
internal static class GgufTensorTypes
{
    private static readonly Dictionary<uint, WeightFormat> Supported = new()
    {
        [0] = WeightFormat.F32,
        [1] = WeightFormat.F16,
        [2] = WeightFormat.Q4_0,
        [3] = WeightFormat.Q4_1,
        [8] = WeightFormat.Q8_0,
        [12] = WeightFormat.Q4_K,
        [13] = WeightFormat.Q5_K,
        [14] = WeightFormat.Q6_K,
        [30] = WeightFormat.BF16,
    };

    private static readonly Dictionary<uint, string> Others = new()
    {
        [6] = "Q5_0",
        [7] = "Q5_1",
        [9] = "Q8_1",
        [10] = "Q2_K",
        [11] = "Q3_K",
        [15] = "Q8_K",
        [16] = "IQ2_XXS",
        [17] = "IQ2_XS",
        [18] = "IQ3_XXS",
        [19] = "IQ1_S",
        [20] = "IQ4_NL",
        [21] = "IQ3_S",
        [22] = "IQ2_S",
        [23] = "IQ4_XS",
        [24] = "I8",
        [25] = "I16",
        [26] = "I32",
        [27] = "I64",
        [28] = "F64",
        [29] = "IQ1_M",
        [34] = "TQ1_0",
        [35] = "TQ2_0",
        [39] = "MXFP4",
    };

    /// <summary>The format of <paramref name="type"/>, which tensor <paramref name="tensor"/> of <paramref name="file"/> is stored in.</summary>
    /// <exception cref="ModelFormatException">Not one that is computed with.</exception>
    public static WeightFormat Format(uint type, string tensor, string file)
    {
        if (Supported.TryGetValue(type, out var format)) return format;
        throw new ModelFormatException(file, Others.TryGetValue(type, out string? name)
            ? $"tensor '{tensor}' is stored as {name}, which is not supported; supported are {string.Join(", ", Supported.Values)}"
            : $"tensor '{tensor}' has the unknown type {type}");
    }
}
