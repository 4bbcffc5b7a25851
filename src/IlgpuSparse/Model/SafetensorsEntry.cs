namespace IlgpuSparse.Model;

/// <summary>One tensor of a safetensors header: bytes <paramref name="Begin"/> to <paramref name="End"/> of the data part.</summary>
internal sealed record SafetensorsEntry(string Name, string Dtype, long[] Shape, long Begin, long End)
{
    /// <summary>Whether weights can be computed with in this dtype.</summary>
    public bool IsWeight => Dtype is "F32" or "F16" or "BF16";
}
