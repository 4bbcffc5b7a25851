namespace IlgpuSparse.Compute;

/// <summary>Element type of the stored K and V.</summary>
public enum KvFormat
{
    /// <summary>Single precision.</summary>
    F32,
    /// <summary>Half precision.</summary>
    F16,
    /// <summary>bfloat16.</summary>
    BF16,
    /// <summary>Signed bytes with one fp32 scale a token and kv head (max |x| / 127).</summary>
    Int8,
}

/// <summary>Sizes of the <see cref="KvFormat"/>s.</summary>
public static class KvFormats
{
    /// <summary>Bytes an element, scales not counted.</summary>
    public static int ElementBytes(this KvFormat format) => format switch
    {
        KvFormat.F32 => 4,
        KvFormat.F16 or KvFormat.BF16 => 2,
        KvFormat.Int8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };
}
