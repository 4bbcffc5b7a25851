namespace IlgpuSparse.Compute;

/// <summary>
/// The label cache of one layer: for every token and kv head the codes of r chosen channels, packed into 32-bit words, blocks as in <see cref="KvLayer"/>.
/// </summary>
/// <remarks>
/// <para>Codes are <c>[block, kvHead, tile, word, token in tile]</c> of uint32: tiles of <see cref="TileTokens"/> tokens, so that one 64-byte line holds the same word of 16
/// tokens. A vector unit scores 16 tokens with no reduction across lanes; a warp reads it coalesced. Word w of a token holds channels w·(32/bits) .. in order of rank, the first
/// in the lowest bits; unused high bits are zero.</para>
/// <para>Static scaling: code = clamp(round((k − offset)/step + (L−1)/2), 0, L−1) with L = 2^bits, and the label means step·(code − (L−1)/2); the offset shifts every score
/// of a head alike and is left out. Per-token scaling: code = round((k − min)/step) with step = (max − min)/(L−1) over the token's r channels; the label means min + step·code, with
/// (step, min) as two fp16 numbers (step in the low half, both rounded before the codes are computed) in <see cref="TokenScales"/> <c>[block, kvHead, token in block]</c> of uint32. F16 labels are the channels as they are.</para>
/// <para>Bit planes (<see cref="Planes"/>; 1-bit labels with static scales): a channel may have any number of bits, each in a place of its own as if it were a channel. Place i holds bit p of the code that its channel has with b bits and
/// the quantiser step of the place; its <see cref="Steps"/> entry is what bit p is worth, 2^p quantiser steps, so that the product of a 1-bit label is that of the whole codes. The places of a channel follow one another from bit 0 on.</para>
/// </remarks>
public sealed record LabelLayer : IDisposable
{
    /// <summary>Tokens a tile.</summary>
    public const int TileTokens = 16;

    /// <summary>Bits and meaning of a code.</summary>
    public required LabelFormat Format { get; init; }

    /// <summary>Where offset and step come from.</summary>
    public required LabelScaling Scaling { get; init; }

    /// <summary>Channels a kv head, r.</summary>
    public required int Channels { get; init; }

    /// <summary>32-bit words a token: r · bits / 32, rounded up.</summary>
    public int Words => WordsFor(Format, Channels);

    /// <summary>The chosen channels, int32 <c>[kvHead, r]</c>, in order of rank.</summary>
    public required DeviceBuffer ChannelIndices { get; init; }

    /// <summary>Offsets for static scaling, fp32 <c>[kvHead, r]</c>; null otherwise.</summary>
    public DeviceBuffer? Offsets { get; init; }

    /// <summary>Quantiser steps for static scaling, fp32 <c>[kvHead, r]</c>; null otherwise.</summary>
    public DeviceBuffer? Steps { get; init; }

    /// <summary>Bit planes: int32 <c>[kvHead, r]</c>, b | p &lt;&lt; 8 for bit p of a code of b bits (1 to 8); null where every place is a whole code.</summary>
    public DeviceBuffer? Planes { get; init; }

    /// <summary>Steps of the quantisers, fp32 <c>[kvHead, r]</c>, with <see cref="Planes"/>; null otherwise, where <see cref="Steps"/> are.</summary>
    public DeviceBuffer? QuantiserSteps { get; init; }

    /// <summary>The packed codes.</summary>
    public required DeviceBuffer Codes { get; init; }

    /// <summary>Step and minimum a token for <see cref="LabelScaling.PerToken"/>; null otherwise.</summary>
    public DeviceBuffer? TokenScales { get; init; }

    /// <summary>32-bit words a token for <paramref name="channels"/> codes of <paramref name="format"/>.</summary>
    public static int WordsFor(LabelFormat format, int channels) => (channels * format.Bits() + 31) / 32;

    /// <inheritdoc/>
    public void Dispose()
    {
        ChannelIndices.Dispose();
        Offsets?.Dispose();
        Steps?.Dispose();
        Planes?.Dispose();
        QuantiserSteps?.Dispose();
        Codes.Dispose();
        TokenScales?.Dispose();
    }
}
