namespace IlgpuSparse.Compute;

/// <summary>
/// Running sums of one layer's V, for the mean value of a sequence in a few reads: fp32 <c>[block, kvHead, 2, headDim]</c>, first of the block's own tokens, in order, then of all tokens in the blocks before it; and int32
/// <c>[block, kvHead]</c>, how many tokens of the block are in. A sequence that is taken back and goes on elsewhere has its block summed anew, so that the sums are those of the tokens that are there, to the last bit.
/// </summary>
/// <param name="Sums">The sums.</param>
/// <param name="Counts">The counts.</param>
public sealed record ValueSums(DeviceBuffer Sums, DeviceBuffer Counts) : IDisposable
{
    /// <summary>Bytes a cache block of <paramref name="kvHeads"/> heads.</summary>
    public static long BytesPerBlock(int kvHeads, int headDim) => (long)kvHeads * (2 * headDim * sizeof(float) + sizeof(int));

    /// <summary>Allocates for <paramref name="blocks"/> cache blocks.</summary>
    public static ValueSums Allocate(ComputeBackend backend, int blocks, int kvHeads, int headDim)
    {
        ArgumentNullException.ThrowIfNull(backend);
        var sums = backend.Allocate((long)blocks * kvHeads * 2 * headDim * sizeof(float), "labels");
        try
        {
            return new ValueSums(sums, backend.Allocate((long)blocks * kvHeads * sizeof(int), "labels"));
        }
        catch
        {
            sums.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Sums.Dispose();
        Counts.Dispose();
    }
}
