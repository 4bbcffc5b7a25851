using System.Globalization;

namespace IlgpuSparse.Model;

/// <summary>GGUF tensor names and the Hugging Face names that stand for them.</summary>
internal static class GgufNames
{
    private static readonly Dictionary<string, string> Global = new()
    {
        ["token_embd.weight"] = "model.embed_tokens.weight",
        ["output_norm.weight"] = "model.norm.weight",
        ["output.weight"] = "lm_head.weight",
    };

    private static readonly Dictionary<string, string> Layer = new()
    {
        ["attn_norm"] = "input_layernorm",
        ["ffn_norm"] = "post_attention_layernorm",
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
        ["ffn_gate_inp"] = "block_sparse_moe.gate",
    };

    private static readonly Dictionary<string, string> Expert = new()
    {
        ["ffn_gate"] = "w1",
        ["ffn_down"] = "w2",
        ["ffn_up"] = "w3",
    };

    /// <summary>The Hugging Face name of one tensor, or null for what has none: stacked experts, frequency factors, foreign tensors.</summary>
    public static string? ToHuggingFace(string name)
    {
        if (Global.TryGetValue(name, out string? global)) return global;
        string[] parts = name.Split('.');
        if (parts.Length < 4 || parts[0] != "blk" || !IsIndex(parts[1]) || parts[^1] is not ("weight" or "bias")) return null;
        if (parts.Length == 4) return Layer.TryGetValue(parts[2], out string? plain) ? $"model.layers.{parts[1]}.{plain}.{parts[3]}" : null;
        return parts.Length == 5 && IsIndex(parts[3]) && Expert.TryGetValue(parts[2], out string? expert)
            ? $"model.layers.{parts[1]}.block_sparse_moe.experts.{parts[3]}.{expert}.{parts[4]}"
            : null;
    }

    /// <summary>For a stack of experts, e.g. <c>blk.3.ffn_gate_exps.weight</c>, the Hugging Face name of expert {0}; else null.</summary>
    public static string? ToHuggingFaceExperts(string name)
    {
        string[] parts = name.Split('.');
        return parts.Length == 4 && parts[0] == "blk" && IsIndex(parts[1]) && parts[3] == "weight" && parts[2].EndsWith("_exps", StringComparison.Ordinal)
            && Expert.TryGetValue(parts[2][..^"_exps".Length], out string? expert)
            ? $"model.layers.{parts[1]}.block_sparse_moe.experts.{{0}}.{expert}.weight"
            : null;
    }

    /// <summary>A number as it is written in names: no sign, no leading zeros.</summary>
    private static bool IsIndex(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int index) && index.ToString(CultureInfo.InvariantCulture) == text;
}
