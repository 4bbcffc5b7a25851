using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>K and V of the rows' own tokens, which a kernel writes to the cache beside its own work: what <see cref="AppendKvKernel"/> does, to the bit, for single tokens and formats without scales.</summary>
internal struct OwnRowView
{
    /// <summary>Keys <c>[row, kvHead, headDim]</c>; empty where nothing is to be written.</summary>
    public ArrayView<float> K;

    /// <summary>Values, as <see cref="K"/>.</summary>
    public ArrayView<float> V;

    /// <summary>The cache's keys <c>[block, kvHead, token in block, headDim]</c>.</summary>
    public ArrayView<uint> CachedK;

    /// <summary>The cache's values.</summary>
    public ArrayView<uint> CachedV;

    /// <summary>Cache blocks <c>[row, MaxBlocks]</c>.</summary>
    public ArrayView<int> Blocks;

    /// <summary>Width of the block table.</summary>
    public int MaxBlocks;

    /// <summary>Key and value heads.</summary>
    public int KvHeads;

    /// <summary>Channels a head, a multiple of four.</summary>
    public int HeadDim;

    /// <summary>Bytes of a cached number: 4 for fp32, 2 for fp16 and bf16.</summary>
    public int CacheBytes;

    /// <summary>1 when 16-bit numbers of the cache are bfloat16.</summary>
    public int CacheBrain;

    /// <summary>Whether there is something to write.</summary>
    public readonly bool AreMissing => K.Length != 0;

    /// <summary>
    /// Writes K and V of <paramref name="kvHead"/> of a row's own token, at <paramref name="position"/>. The whole warp calls, and a barrier has to lie between this and whoever reads the row, which must not be by way of the read-only cache
    /// (<c>ld.global.nc</c>). Groups that write the same row write the same bytes.
    /// </summary>
    public readonly void Write(int row, int kvHead, int position)
    {
        int quads = HeadDim >> 2, block = Blocks[row * MaxBlocks + (position >> KvLayer.BlockShift)];
        long from = (long)(row * KvHeads + kvHead) * quads;
        long to = (((long)(block * KvHeads + kvHead) << KvLayer.BlockShift) + (position & (KvLayer.BlockTokens - 1))) * quads;
        var keys = K.Cast<F4>();
        var values = V.Cast<F4>();
        for (int quad = Group.IdxX & 31; quad < quads; quad += 32)
        {
            // both are on their way before the first is rounded
            var k = keys[from + quad];
            var v = values[from + quad];
            Store(CachedK, to + quad, k);
            Store(CachedV, to + quad, v);
        }
    }

    private readonly void Store(ArrayView<uint> cached, long quad, F4 x)
    {
        if (CacheBytes == 4)
        {
            U4 words;
            words.X = Interop.FloatAsInt(x.X);
            words.Y = Interop.FloatAsInt(x.Y);
            words.Z = Interop.FloatAsInt(x.Z);
            words.W = Interop.FloatAsInt(x.W);
            cached.Cast<U4>()[quad] = words;
        }
        else
        {
            U2 pairs;
            if (CacheBrain != 0)
            {
                pairs.X = KvBits.Brains(x.X, x.Y);
                pairs.Y = KvBits.Brains(x.Z, x.W);
            }
            else
            {
                pairs.X = KvBits.Halves(x.X, x.Y);
                pairs.Y = KvBits.Halves(x.Z, x.W);
            }
            cached.Cast<U2>()[quad] = pairs;
        }
    }
}
