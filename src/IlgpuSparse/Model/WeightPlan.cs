namespace IlgpuSparse.Model;

/// <summary>The weights that a decoder of a given configuration needs, by Hugging Face name.</summary>
internal static class WeightPlan
{
    /// <summary>Every name with its shape, outermost dimension first.</summary>
    public static IEnumerable<(string Name, long[] Shape)> Of(LlamaConfig c)
    {
        long width = (long)c.Heads * c.HeadDim, kvWidth = (long)c.KvHeads * c.HeadDim;
        yield return ("model.embed_tokens.weight", [c.VocabularySize, c.HiddenSize]);
        for (int i = 0; i < c.Layers; i++)
        {
            string layer = $"model.layers.{i}.", attention = layer + "self_attn.", mlp = layer + "mlp.", moe = layer + "block_sparse_moe.";
            yield return (layer + "input_layernorm.weight", [c.HiddenSize]);
            yield return (attention + "q_proj.weight", [width, c.HiddenSize]);
            yield return (attention + "k_proj.weight", [kvWidth, c.HiddenSize]);
            yield return (attention + "v_proj.weight", [kvWidth, c.HiddenSize]);
            yield return (attention + "o_proj.weight", [c.HiddenSize, width]);
            if (c.QkvBias)
            {
                yield return (attention + "q_proj.bias", [width]);
                yield return (attention + "k_proj.bias", [kvWidth]);
                yield return (attention + "v_proj.bias", [kvWidth]);
            }
            if (c.OutputBias) yield return (attention + "o_proj.bias", [c.HiddenSize]);
            yield return (layer + "post_attention_layernorm.weight", [c.HiddenSize]);
            if (c.Experts == 0)
            {
                yield return (mlp + "gate_proj.weight", [c.IntermediateSize, c.HiddenSize]);
                yield return (mlp + "up_proj.weight", [c.IntermediateSize, c.HiddenSize]);
                yield return (mlp + "down_proj.weight", [c.HiddenSize, c.IntermediateSize]);
                if (c.MlpBias)
                {
                    yield return (mlp + "gate_proj.bias", [c.IntermediateSize]);
                    yield return (mlp + "up_proj.bias", [c.IntermediateSize]);
                    yield return (mlp + "down_proj.bias", [c.HiddenSize]);
                }
            }
            else
            {
                yield return (moe + "gate.weight", [c.Experts, c.HiddenSize]);
                for (int e = 0; e < c.Experts; e++)
                {
                    yield return ($"{moe}experts.{e}.w1.weight", [c.IntermediateSize, c.HiddenSize]);
                    yield return ($"{moe}experts.{e}.w2.weight", [c.HiddenSize, c.IntermediateSize]);
                    yield return ($"{moe}experts.{e}.w3.weight", [c.IntermediateSize, c.HiddenSize]);
                }
            }
        }
        yield return ("model.norm.weight", [c.HiddenSize]);
        if (!c.TiedEmbeddings) yield return ("lm_head.weight", [c.VocabularySize, c.HiddenSize]);
    }
}
