using IlgpuSparse.Cache;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>Bytes that a decoder will take, known before anything is allocated.</summary>
/// <param name="Weights">The weights as stored in the file.</param>
/// <param name="KeysAndValues">K and V of all layers.</param>
/// <param name="Labels">What the attention policy keeps: labels, scores, token sets.</param>
/// <param name="Scratch">Activations and logits.</param>
public sealed record MemoryPlan(long Weights, long KeysAndValues, long Labels, long Scratch)
{
    /// <summary>The sum.</summary>
    public long Total => Weights + KeysAndValues + Labels + Scratch;

    /// <summary>Plans a decoder for <paramref name="model"/>.</summary>
    public static MemoryPlan For(ModelFile model, DecoderOptions options) => For(model.Config, model.Tensors.Sum(t => t.ByteLength), options);

    /// <summary>Plans a decoder of <paramref name="config"/> with <paramref name="weights"/> bytes of weights.</summary>
    public static MemoryPlan For(LlamaConfig config, long weights, DecoderOptions options) => new(
        weights,
        KvCache.PlannedBytes(config, options.KvFormat, options.Capacity),
        options.Attention.PlannedBytes(config, options),
        LlamaDecoder.ScratchBytes(config, options));
}
