using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>The keys of texts, brought to the host from the cache.</summary>
internal sealed class TextKeys(LlamaConfig config, KvCache cache)
{
    private readonly KeyReader _reader = new(config.KvHeads, config.HeadDim);

    /// <summary>Keys <c>[token, headDim]</c> of every <paramref name="stride"/>-th token of <paramref name="text"/>; several threads may ask at once.</summary>
    public float[] OfHead(MappedText text, int layer, int kvHead, int stride)
    {
        int d = config.HeadDim, count = (text.Length + stride - 1) / stride;
        var result = new float[count * d];
        lock (_reader)
        {
            for (int i = 0; i < count;)
            {
                int block = i * stride / KvLayer.BlockTokens;
                var keys = _reader.Read(cache.Layers[layer], text.Blocks[block], kvHead, KvLayer.BlockTokens);
                for (; i < count && i * stride / KvLayer.BlockTokens == block; i++) keys.Slice(i * stride % KvLayer.BlockTokens * d, d).CopyTo(result.AsSpan(i * d));
            }
        }
        return result;
    }

    /// <summary>Keys of all tokens of a block into <paramref name="keys"/> <c>[token, kvHead, headDim]</c>.</summary>
    public void OfBlock(int layer, int block, Span<float> keys)
    {
        int d = config.HeadDim, width = config.KvHeads * d;
        for (int head = 0; head < config.KvHeads; head++)
        {
            var own = _reader.Read(cache.Layers[layer], block, head, KvLayer.BlockTokens);
            for (int token = 0; token < KvLayer.BlockTokens; token++) own.Slice(token * d, d).CopyTo(keys[(token * width + head * d)..]);
        }
    }
}
