using ILGPU;
using ILGPU.Algorithms;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Query, key and value projection: eight rotated channel pairs of a query or key a tile, or 16 channels of values. Keys and values also go into the cache, in its format.
/// </summary>
internal struct QkvEpilogue : ILinearEpilogue
{
    /// <summary>Queries <c>[row, head, headDim]</c>.</summary>
    public ArrayView<float> Q;

    /// <summary>Keys and values <c>[row, kvHead, headDim]</c>.</summary>
    public ArrayView<float> K, V;

    /// <summary>The biases; any memory without them.</summary>
    public ArrayView<ushort> QBias, KBias, VBias;

    /// <summary>0 without a bias, else 1 + its format.</summary>
    public int QBiasFormat, KBiasFormat, VBiasFormat;

    /// <summary>Radians a position, of each pair of a head.</summary>
    public ArrayView<float> Frequencies;

    /// <summary>The cache.</summary>
    public KvView Cache;

    /// <summary>Bytes of a cached number: 4 for fp32, 2 for fp16 and bf16, 0 to leave the cache alone.</summary>
    public int CacheBytes;

    /// <summary>1 when 16-bit numbers of the cache are bfloat16.</summary>
    public int CacheBrain;

    /// <summary>Width of the block table, 0 when all rows share its first row.</summary>
    public int TableStep;

    /// <summary>Query heads, and kv heads.</summary>
    public int Heads, KvHeads;

    /// <summary>Half of the head's channels.</summary>
    public int Pairs;

    /// <summary>1 to pair channels 2i and 2i + 1, 0 to pair i and i + <see cref="Pairs"/>.</summary>
    public int Interleaved;

    /// <summary>First tile of the keys, and of the values.</summary>
    public int KeyTile, ValueTile;

    public static bool HasTerms => true;

    public static bool HasThreeMaps => true;

    public readonly LinearArgs Bind(LinearArgs args) => args;

    public readonly int Matrix(int tile, int slot) => tile < KeyTile ? 0 : tile < ValueTile ? 1 : 2;

    public readonly int Row(int tile, int slot)
    {
        int value = IntrinsicMath.Min((tile - ValueTile) * LinearKernel.TileRows + slot, KvHeads * Pairs * 2 - 1);
        int pair = tile < KeyTile ? IntrinsicMath.Min(tile * 8 + (slot & 7), Heads * Pairs - 1) : IntrinsicMath.Min((tile - KeyTile) * 8 + (slot & 7), KvHeads * Pairs - 1);
        int head = pair / Pairs;
        int rotated = head * Pairs * 2 + Channel(pair - head * Pairs, slot >> 3);
        return tile < ValueTile ? rotated : value;
    }

    public readonly EpilogueTerms Ahead(int tile, int g, int row)
    {
        EpilogueTerms terms = default;
        int position = Cache.Positions[row];
        // it comes from memory, and nothing is made of it here, which would wait
        if (tile >= KeyTile && CacheBytes != 0) terms.Block = Cache.Blocks[row * TableStep + (position >> KvLayer.BlockShift)];
        terms.First = Row(tile, g);
        terms.Second = Row(tile, g + 8);
        if (tile < ValueTile)
        {
            int pair = (tile < KeyTile ? tile : tile - KeyTile) * 8 + g;
            float angle = RopeKernel.Angle(Frequencies[pair % Pairs], position);
            terms.Cos = XMath.Cos(angle);
            terms.Sin = XMath.Sin(angle);
        }
        terms.InBlockFirst = InBlock(position, terms.First);
        terms.InBlockSecond = InBlock(position, terms.Second);
        return terms;
    }

    public readonly void Finish(int tile, int g, int row, float upper, float lower, EpilogueTerms terms)
    {
        int first = terms.First, second = terms.Second;
        if (tile >= ValueTile)
        {
            int channel = (tile - ValueTile) * LinearKernel.TileRows + g;
            if (channel < KvHeads * Pairs * 2) Store(V, Cache.V, row, first, upper + MatMulEpilogue.Bias(VBias, VBiasFormat, first), terms.Block, terms.InBlockFirst);
            if (channel + 8 < KvHeads * Pairs * 2) Store(V, Cache.V, row, second, lower + MatMulEpilogue.Bias(VBias, VBiasFormat, second), terms.Block, terms.InBlockSecond);
        }
        else
        {
            bool query = tile < KeyTile;
            int pair = (query ? tile : tile - KeyTile) * 8 + g;
            if (pair < (query ? Heads : KvHeads) * Pairs)
            {
                float a = upper + (query ? MatMulEpilogue.Bias(QBias, QBiasFormat, first) : MatMulEpilogue.Bias(KBias, KBiasFormat, first));
                float b = lower + (query ? MatMulEpilogue.Bias(QBias, QBiasFormat, second) : MatMulEpilogue.Bias(KBias, KBiasFormat, second));
                float x = a * terms.Cos - b * terms.Sin, y = b * terms.Cos + a * terms.Sin;
                if (query)
                {
                    long at = (long)row * Heads * Pairs * 2;
                    Q[at + first] = x;
                    Q[at + second] = y;
                }
                else
                {
                    Store(K, Cache.K, row, first, x, terms.Block, terms.InBlockFirst);
                    Store(K, Cache.K, row, second, y, terms.Block, terms.InBlockSecond);
                }
            }
        }
    }

    private readonly int Channel(int i, int member) => Interleaved != 0 ? 2 * i + member : i + member * Pairs;

    // Where in a block of the cache a channel of a position lies.
    private readonly int InBlock(int position, int channel)
    {
        int head = channel / (Pairs * 2);
        return ((head << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1))) * (Pairs * 2) + (channel - head * Pairs * 2);
    }

    private readonly void Store(ArrayView<float> target, ArrayView<uint> cache, int row, int channel, float value, int block, int inBlock)
    {
        target[(long)row * KvHeads * Pairs * 2 + channel] = value;
        if (CacheBytes != 0)
        {
            long cached = (long)block * ((KvHeads << KvLayer.BlockShift) * (Pairs * 2)) + inBlock;
            if (CacheBytes == 4) cache[cached] = Interop.FloatAsInt(value);
            else cache.Cast<ushort>()[cached] = (ushort)(CacheBrain != 0 ? KvBits.Brain(value) : KvBits.Half(value));
        }
    }
}
