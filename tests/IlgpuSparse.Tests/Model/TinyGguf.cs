using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>Complete small models as GGUF: hidden 64, 4 heads and 2 kv heads of 16, feed-forward 96, 10 tokens.</summary>
internal static class TinyGguf
{
    public const int Hidden = 64, Heads = 4, KvHeads = 2, HeadDim = 16, Intermediate = 96, Vocabulary = 10;

    public static GgufWriter Llama(WeightFormat format = WeightFormat.Q8_0, int layers = 2, bool tied = false, string arch = "llama", int experts = 0, bool stacked = true, GgufWriter? into = null)
    {
        var w = into ?? new GgufWriter();
        w.Set("general.architecture", arch)
            .Set($"{arch}.context_length", 256u)
            .Set($"{arch}.embedding_length", (uint)Hidden)
            .Set($"{arch}.block_count", (uint)layers)
            .Set($"{arch}.feed_forward_length", (uint)Intermediate)
            .Set($"{arch}.attention.head_count", (uint)Heads)
            .Set($"{arch}.attention.head_count_kv", (uint)KvHeads)
            .Set($"{arch}.attention.layer_norm_rms_epsilon", 1e-5f)
            .Set($"{arch}.rope.freq_base", 500000f)
            .Set("tokenizer.ggml.model", "llama")
            .Set("tokenizer.ggml.tokens", new[] { "<unk>", "<s>", "</s>", "\n", "<0x00>", "▁", "a", "b", "▁a", "ab" })
            .Set("tokenizer.ggml.scores", new[] { 0f, 0f, 0f, 0f, 0f, -1f, -2f, -3f, -4f, -5f })
            .Set("tokenizer.ggml.token_type", new[] { 2, 3, 3, 4, 6, 1, 1, 1, 1, 1 });
        if (experts > 0) w.Set($"{arch}.expert_count", (uint)experts).Set($"{arch}.expert_used_count", 2u);
        // Tensors whose rows are no whole blocks stay F16.
        WeightFormat Fitting(long columns) => columns % format.BlockElements() == 0 ? format : WeightFormat.F16;
        void Matrix(string name, params long[] shape) => w.Tensor(name, Fitting(shape[^1]), shape);

        Matrix("token_embd.weight", Vocabulary, Hidden);
        for (int i = 0; i < layers; i++)
        {
            string blk = $"blk.{i}.";
            w.Tensor(blk + "attn_norm.weight", WeightFormat.F32, Hidden).Tensor(blk + "ffn_norm.weight", WeightFormat.F32, Hidden);
            Matrix(blk + "attn_q.weight", Heads * HeadDim, Hidden);
            Matrix(blk + "attn_k.weight", KvHeads * HeadDim, Hidden);
            Matrix(blk + "attn_v.weight", KvHeads * HeadDim, Hidden);
            Matrix(blk + "attn_output.weight", Hidden, Heads * HeadDim);
            if (arch == "qwen2")
            {
                w.Tensor(blk + "attn_q.bias", WeightFormat.F32, Heads * HeadDim).Tensor(blk + "attn_k.bias", WeightFormat.F32, KvHeads * HeadDim)
                    .Tensor(blk + "attn_v.bias", WeightFormat.F32, KvHeads * HeadDim);
            }
            if (experts == 0)
            {
                Matrix(blk + "ffn_gate.weight", Intermediate, Hidden);
                Matrix(blk + "ffn_up.weight", Intermediate, Hidden);
                Matrix(blk + "ffn_down.weight", Hidden, Intermediate);
                continue;
            }
            w.Tensor(blk + "ffn_gate_inp.weight", WeightFormat.F32, experts, Hidden);
            if (stacked)
            {
                Matrix(blk + "ffn_gate_exps.weight", experts, Intermediate, Hidden);
                Matrix(blk + "ffn_up_exps.weight", experts, Intermediate, Hidden);
                Matrix(blk + "ffn_down_exps.weight", experts, Hidden, Intermediate);
                continue;
            }
            for (int e = 0; e < experts; e++)
            {
                Matrix($"{blk}ffn_gate.{e}.weight", Intermediate, Hidden);
                Matrix($"{blk}ffn_up.{e}.weight", Intermediate, Hidden);
                Matrix($"{blk}ffn_down.{e}.weight", Hidden, Intermediate);
            }
        }
        w.Tensor("output_norm.weight", WeightFormat.F32, Hidden);
        if (!tied) Matrix("output.weight", Vocabulary, Hidden);
        return w;
    }
}
