namespace IlgpuSparse.Model;

/// <summary>How the numbers of a weight tensor are stored in its file; weights are computed with as stored.</summary>
public enum WeightFormat
{
    /// <summary>IEEE single precision.</summary>
    F32,
    /// <summary>IEEE half precision.</summary>
    F16,
    /// <summary>bfloat16: the upper half of a single.</summary>
    BF16,
    /// <summary>GGUF Q8_0: blocks of 32, one fp16 scale and 32 signed bytes.</summary>
    Q8_0,
    /// <summary>GGUF Q4_0: blocks of 32, one fp16 scale and 32 nibbles (offset 8).</summary>
    Q4_0,
    /// <summary>GGUF Q4_1: blocks of 32, fp16 scale and minimum, 32 nibbles.</summary>
    Q4_1,
    /// <summary>GGUF Q4_K: super-blocks of 256 with 6-bit scales and minimums for 8 blocks of 32 nibbles.</summary>
    Q4_K,
    /// <summary>GGUF Q5_K: as Q4_K with a fifth bit.</summary>
    Q5_K,
    /// <summary>GGUF Q6_K: super-blocks of 256 with 8-bit scales for 16 blocks of 16 six-bit numbers.</summary>
    Q6_K,
}

/// <summary>Sizes of the <see cref="WeightFormat"/>s.</summary>
public static class WeightFormats
{
    /// <summary>Numbers a block; 1 for the plain formats.</summary>
    public static int BlockElements(this WeightFormat format) => format switch
    {
        WeightFormat.F32 or WeightFormat.F16 or WeightFormat.BF16 => 1,
        WeightFormat.Q8_0 or WeightFormat.Q4_0 or WeightFormat.Q4_1 => 32,
        WeightFormat.Q4_K or WeightFormat.Q5_K or WeightFormat.Q6_K => 256,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };

    /// <summary>Bytes a block.</summary>
    public static int BlockBytes(this WeightFormat format) => format switch
    {
        WeightFormat.F32 => 4,
        WeightFormat.F16 or WeightFormat.BF16 => 2,
        WeightFormat.Q8_0 => 34,
        WeightFormat.Q4_0 => 18,
        WeightFormat.Q4_1 => 20,
        WeightFormat.Q4_K => 144,
        WeightFormat.Q5_K => 176,
        WeightFormat.Q6_K => 210,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };

    /// <summary>Bytes of <paramref name="elements"/> consecutive numbers, which must be whole blocks.</summary>
    /// <exception cref="ArgumentException">The count is not a multiple of the block.</exception>
    public static long ByteLength(this WeightFormat format, long elements)
    {
        int block = format.BlockElements();
        if (elements % block != 0)
            throw new ArgumentException($"{elements} numbers are not whole {format} blocks of {block}");
        return checked(elements / block * format.BlockBytes());
    }
}
