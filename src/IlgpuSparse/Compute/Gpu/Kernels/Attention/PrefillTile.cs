namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>A tile size of <see cref="TensorPrefillKernel"/> as the launcher sees it.</summary>
/// <param name="Type">The <see cref="IPrefillTile"/>.</param>
/// <param name="Warps">Warps a group, each with 16 rows.</param>
/// <param name="Tokens">Tokens of K and V.</param>
internal sealed record PrefillTile(Type Type, int Warps, int Tokens)
{
    // larger heads leave registers for fewer logits
    private static readonly PrefillTile[] Small = [Of<Prefill128x64>(), Of<Prefill64x64>()], Large = [Of<Prefill128x32>(), Of<Prefill64x32>()];

    /// <summary>Rows of a group.</summary>
    public int Rows => 16 * Warps;

    /// <summary>The tile of <typeparamref name="T"/>.</summary>
    public static PrefillTile Of<T>() where T : struct, IPrefillTile => new(typeof(T), 1 << T.WarpShift, 1 << T.TokenShift);

    /// <summary>The largest one for heads of <paramref name="channels"/> that a device with such limits can run; null when there is none.</summary>
    public static PrefillTile? For(int channels, bool rest, int maxGroupSize, int maxSharedBytes) =>
        (channels > 128 ? Large : Small).FirstOrDefault(tile => 32 * tile.Warps <= maxGroupSize && TensorPrefillKernel.SharedBytes(channels, tile.Warps, tile.Tokens, rest) <= maxSharedBytes);

    /// <summary>The kernel with this tile.</summary>
    public KernelVariant Variant(Type element, int channels, Type rest) =>
        TensorPrefillKernel.Variant(element, channels, Type, rest, Warps, TensorPrefillKernel.SharedBytes(channels, Warps, Tokens, rest == typeof(RestKept)));
}
