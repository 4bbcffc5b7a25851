using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>A <see cref="LabelLayer"/> and the places of a step's tokens, as one kernel argument.</summary>
internal struct LabelView
{
    /// <summary>Packed codes, <c>[block, kvHead, tile, word, token in tile]</c>.</summary>
    public ArrayView<uint> Codes;

    /// <summary>Step and minimum a token, <c>[block, kvHead, token in block]</c>; read only with <see cref="PerToken"/>.</summary>
    public ArrayView<uint> TokenScales;

    /// <summary><c>[kvHead, r]</c>.</summary>
    public ArrayView<int> Channels;

    /// <summary><c>[kvHead, r]</c>; read only with <see cref="Static"/>.</summary>
    public ArrayView<float> Offsets;

    /// <summary><c>[kvHead, r]</c>; read only with <see cref="Static"/>.</summary>
    public ArrayView<float> Steps;

    /// <summary>Steps of the quantisers, <c>[kvHead, r]</c>; read only with <see cref="Static"/>.</summary>
    public ArrayView<float> QuantiserSteps;

    /// <summary>Bits and plane of each place, <c>[kvHead, r]</c>; read only with <see cref="Planed"/>.</summary>
    public ArrayView<int> Planes;

    /// <summary>Position of each row.</summary>
    public ArrayView<int> Positions;

    /// <summary><c>[row, MaxBlocks]</c>, one row when prefilling.</summary>
    public ArrayView<int> BlockTable;

    /// <summary>Key and value heads.</summary>
    public int KvHeads;

    /// <summary>Channels a kv head, r.</summary>
    public int ChannelCount;

    /// <summary>Words a token.</summary>
    public int Words;

    /// <summary>Width of <see cref="BlockTable"/>.</summary>
    public int MaxBlocks;

    /// <summary>1 for codes with scales a token.</summary>
    public int PerToken;

    /// <summary>1 for codes with scales a channel.</summary>
    public int Static;

    /// <summary>1 for places that are bits of codes.</summary>
    public int Planed;

    /// <summary>Where in <see cref="TokenScales"/> those of <paramref name="token"/>, which lies in <paramref name="block"/>, are.</summary>
    public readonly long Scale(int block, int kvHead, int token) => ((long)block * KvHeads + kvHead) * KvLayer.BlockTokens + (token & (KvLayer.BlockTokens - 1));

    /// <summary>Word 0 of token 0 of <paramref name="block"/> and <paramref name="kvHead"/>.</summary>
    /// <remarks>One multiplication of 64 bits: blocks times kv heads are far below 2^31, as whole blocks of labels are in memory.</remarks>
    public readonly long FirstWord(int block, int kvHead) => (long)((ulong)(uint)(block * KvHeads + kvHead) * (uint)(Words * KvLayer.BlockTokens));

    /// <summary>Word 0 of <paramref name="token"/> in <paramref name="block"/> and <paramref name="kvHead"/>; the next one is <see cref="LabelLayer.TileTokens"/> behind it.</summary>
    public readonly long FirstWord(int block, int kvHead, int token)
    {
        int inBlock = token & (KvLayer.BlockTokens - 1);
        return FirstWord(block, kvHead) + (inBlock >> 4) * Words * LabelLayer.TileTokens + (inBlock & (LabelLayer.TileTokens - 1));
    }
}
