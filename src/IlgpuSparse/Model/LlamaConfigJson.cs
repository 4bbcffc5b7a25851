using System.Text.Json;

namespace IlgpuSparse.Model;

/// <summary>
/// Reads <see cref="LlamaConfig"/> from a Hugging Face <c>config.json</c>. Keys that are absent take the defaults of the model type's configuration class in transformers.
/// </summary>
internal static class LlamaConfigJson
{
    private static readonly Dictionary<string, Defaults> Types = new()
    {
        ["llama"] = new Defaults(KvHeads: null, MaxContext: 2048, NormEpsilon: 1e-6f, RopeTheta: 1e4f),
        ["mistral"] = new Defaults(KvHeads: 8, MaxContext: 131072, NormEpsilon: 1e-6f, RopeTheta: 1e4f),
        ["mixtral"] = new Defaults(KvHeads: 8, MaxContext: 131072, NormEpsilon: 1e-5f, RopeTheta: 1e6f),
        ["qwen2"] = new Defaults(KvHeads: 32, MaxContext: 32768, NormEpsilon: 1e-6f, RopeTheta: 1e4f),
    };

    /// <summary>The configuration in <paramref name="json"/>, checked; <paramref name="generation"/> adds ids that end a sequence.</summary>
    /// <exception cref="ModelFormatException">Absent, contradictory or unsupported values.</exception>
    public static LlamaConfig Read(JsonFile json, JsonFile? generation = null)
    {
        string type = json.FindString("model_type") ?? throw json.Bad("has no 'model_type'");
        if (!Types.TryGetValue(type, out var defaults)) throw json.Bad($"the model type '{type}' is not supported; supported are {string.Join(", ", Types.Keys)}");
        if (json.FindObject("quantization_config") is { } quantised)
            throw json.Bad($"the weights are quantised by '{quantised.FindString("quant_method") ?? "an unnamed method"}', which is not supported; use the original weights or a GGUF file");
        string activation = json.FindString("hidden_act") ?? "silu";
        if (activation is not ("silu" or "swish")) throw json.Bad($"the activation '{activation}' is not supported; supported is silu");

        int hidden = json.Integer("hidden_size"), heads = json.Integer("num_attention_heads");
        int headDim = json.FindInteger("head_dim")
            ?? (heads > 0 && hidden % heads == 0 ? hidden / heads : throw json.Bad($"hidden_size {hidden} is not a multiple of num_attention_heads {heads} and there is no head_dim"));
        // Absent and null differ here: absent is the class's default, null is "as many as heads".
        int kvHeads = json.FindInteger("num_key_value_heads") ?? (json.Root.TryGetProperty("num_key_value_heads", out _) ? heads : defaults.KvHeads ?? heads);
        bool attentionBias = type == "llama" && (json.FindBool("attention_bias") ?? false);
        bool experts = type == "mixtral";
        var (theta, scaling) = Rope(json, defaults.RopeTheta);
        return LlamaConfigRules.Check(new LlamaConfig
        {
            ModelType = type,
            VocabularySize = json.Integer("vocab_size"),
            HiddenSize = hidden,
            IntermediateSize = json.Integer("intermediate_size"),
            Layers = json.Integer("num_hidden_layers"),
            Heads = heads,
            KvHeads = kvHeads,
            HeadDim = headDim,
            MaxContext = json.FindInteger("max_position_embeddings") ?? defaults.MaxContext,
            NormEpsilon = json.FindNumber("rms_norm_eps") ?? defaults.NormEpsilon,
            RopeTheta = theta,
            RopeScaling = scaling,
            RopeStyle = RopeStyle.HalfSplit,
            SlidingWindow = SlidingWindow(json, type),
            Experts = experts ? json.FindInteger("num_local_experts") ?? 8 : 0,
            ActiveExperts = experts ? json.FindInteger("num_experts_per_tok") ?? 2 : 0,
            QkvBias = attentionBias || type == "qwen2",
            OutputBias = attentionBias,
            MlpBias = type == "llama" && (json.FindBool("mlp_bias") ?? false),
            TiedEmbeddings = json.FindBool("tie_word_embeddings") ?? false,
            BosId = json.FindInteger("bos_token_id"),
            EosIds = [.. json.FindIntegers("eos_token_id").Concat(generation?.FindIntegers("eos_token_id") ?? []).Distinct()],
        }, json.Path);
    }

    private static (float Theta, RopeScaling Scaling) Rope(JsonFile json, float defaultTheta)
    {
        // Since version 5 transformers writes base and scaling into one object.
        var rope = json.FindObject("rope_parameters") ?? json.FindObject("rope_scaling");
        float theta = rope?.FindNumber("rope_theta") ?? json.FindNumber("rope_theta") ?? defaultTheta;
        foreach (var source in (JsonFile?[])[rope, json])
        {
            if (source?.FindNumber("partial_rotary_factor") is float part && part != 1) throw json.Bad($"partial_rotary_factor {part} is not supported; supported is 1");
        }
        if (rope is null) return (theta, RopeScaling.None);
        string? type = rope.FindString("rope_type") ?? rope.FindString("type");
        if (type is null && rope.Root.EnumerateObject().FirstOrDefault(p => p.Value.ValueKind == JsonValueKind.Object) is { Value.ValueKind: JsonValueKind.Object } nested)
            throw json.Bad($"rope parameters by kind of layer ('{nested.Name}') are not supported");
        return (theta, type switch
        {
            null or "default" => RopeScaling.None,
            "linear" => new RopeScaling(RopeScalingKind.Linear, Number(rope, "factor")),
            "llama3" => new RopeScaling(RopeScalingKind.Llama3, Number(rope, "factor"), Number(rope, "low_freq_factor"), Number(rope, "high_freq_factor"),
                rope.Integer("original_max_position_embeddings")),
            _ => throw json.Bad($"rope scaling '{type}' is not supported; supported are default, linear and llama3"),
        });
    }

    private static float Number(JsonFile rope, string key) => rope.FindNumber(key) ?? throw rope.Bad($"the rope scaling has no '{key}'");

    private static int SlidingWindow(JsonFile json, string type)
    {
        int window = type switch
        {
            "mistral" => json.FindInteger("sliding_window") ?? (json.Root.TryGetProperty("sliding_window", out _) ? 0 : 4096),
            "mixtral" => json.FindInteger("sliding_window") ?? 0,
            "qwen2" when json.FindBool("use_sliding_window") ?? false => json.FindInteger("sliding_window") ?? 4096,
            _ => 0,
        };
        if (window == 0) return 0;
        if (window < 0) throw json.Bad($"sliding_window is {window}, it must be a positive number of tokens");

        int layers = json.Integer("num_hidden_layers"), full = 0;
        if (json.Find("layer_types") is { ValueKind: JsonValueKind.Array } kinds)
        {
            full = kinds.EnumerateArray().Count(k => k.ValueKind == JsonValueKind.String && json.Text(k) == "full_attention");
            layers = kinds.GetArrayLength();
        }
        else if (type == "qwen2")
        {
            full = Math.Clamp(json.FindInteger("max_window_layers") ?? 28, 0, Math.Max(0, layers)); // the first ones see everything
        }
        if (full == layers) return 0;
        return full == 0 ? window : throw json.Bad($"a sliding window in {layers - full} of {layers} layers is not supported; supported is all or none");
    }

    private sealed record Defaults(int? KvHeads, int MaxContext, float NormEpsilon, float RopeTheta);
}
