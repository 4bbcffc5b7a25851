namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Where in a warp's ring the stage lies that it multiplies.</summary>
internal struct RingSlot
{
    /// <summary>First of its units of 16 bytes in shared memory.</summary>
    public int At;

    /// <summary>Its barrier word, where it is copied by a map.</summary>
    public int Word;

    /// <summary>Which of two the word is asked for: changes each time round.</summary>
    public int Parity;

    /// <summary>The next one of a ring from <paramref name="ring"/> to <paramref name="end"/> with words from <paramref name="words"/> on.</summary>
    public readonly RingSlot Next<TCodec>(int ring, int end, int words)
        where TCodec : struct, IDigitCodec
    {
        var next = this;
        next.At += 8 * TCodec.Units;
        next.Word++;
        if (next.At == end)
        {
            next.At = ring;
            next.Word = words;
            next.Parity ^= 1;
        }
        return next;
    }
}
