namespace IlgpuSparse.Model;

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
