using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// The tokens with the highest true scores, or the fewest that hold a share of the true mass (top-p). It is Double Sparsity with labels of every channel in fp16: with K in fp16 they are the stored keys to the bit, with
/// other formats the keys rounded to 11 bits. Its labels cost as much as K, and are counted: a bound for other methods, not a method.
/// </summary>
internal static class OraclePolicy
{
    /// <summary><paramref name="options"/> as Double Sparsity sees them.</summary>
    public static AttentionOptions Labels(LlamaConfig config, AttentionOptions options) => options with { Channels = config.HeadDim, LabelFormat = LabelFormat.F16 };

    /// <summary>The policy.</summary>
    public static DoubleSparsityPolicy Create(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, DecoderOptions decoder)
    {
        int[] every = [.. Enumerable.Range(0, config.HeadDim)];
        HeadChannels[][] heads = [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => new HeadChannels(every, null, null, null)).ToArray())];
        var map = new ChannelMap("oracle", "none", config.HeadDim, config.RopeStyle, null, heads);
        return new DoubleSparsityPolicy(backend, config, cache, Labels(config, options), map, decoder);
    }
}
