namespace IlgpuSparse.Model;

/// <summary>Reads <see cref="LlamaConfig"/> from the metadata of a GGUF file.</summary>
internal static class GgufConfig
{
    private const string FrequencyFactors = "rope_freqs.weight";

    // Constants of relatives of Llama that reuse its architecture name; a decoder that ignored one would compute something else.
    private static readonly string[] ForeignKeys = ["attention.scale", "embedding_scale", "residual_scale", "logit_scale", "attention.clamp_kqv", "expert_shared_count"];

    /// <summary>The configuration, checked.</summary>
    /// <exception cref="ModelFormatException">A key is absent or contradictory, or the architecture is not supported.</exception>
    public static LlamaConfig Read(GgufFile gguf)
    {
        var m = gguf.Metadata;
        if (m.Integer("split.count", 1) > 1) throw new ModelFormatException(gguf.Path, $"is one of {m.Integer("split.count")} parts of a model; merge them into one file first");
        string arch = m.FindString("general.architecture") ?? throw new ModelFormatException(gguf.Path, "has no metadata 'general.architecture'");
        if (arch is not ("llama" or "qwen2")) throw new ModelFormatException(gguf.Path, $"the architecture '{arch}' is not supported; supported are llama and qwen2");
        foreach (string key in ForeignKeys)
        {
            // 0 stands for absent; 1 changes nothing, except as the scale of attention scores.
            if (m.FindNumber($"{arch}.{key}") is float value && value != 0 && (value != 1 || key == "attention.scale"))
                throw new ModelFormatException(gguf.Path, $"'{arch}.{key}' is {value}, which is not supported");
        }

        int hidden = m.Integer($"{arch}.embedding_length");
        int heads = m.Integer($"{arch}.attention.head_count");
        int headDim = m.FindInteger($"{arch}.attention.key_length")
            ?? (heads > 0 && hidden % heads == 0 ? hidden / heads : throw new ModelFormatException(gguf.Path, $"hidden size {hidden} is not a multiple of {heads} heads and no key length is given"));
        Same(gguf, $"{arch}.attention.value_length", headDim, "head size");
        Same(gguf, $"{arch}.rope.dimension_count", headDim, "head size");
        int experts = m.Integer($"{arch}.expert_count", 0);
        int? eos = m.FindInteger("tokenizer.ggml.eos_token_id");

        return LlamaConfigRules.Check(new LlamaConfig
        {
            ModelType = experts > 0 ? "mixtral" : arch,
            VocabularySize = Vocabulary(gguf, arch),
            HiddenSize = hidden,
            IntermediateSize = m.Integer($"{arch}.feed_forward_length"),
            Layers = m.Integer($"{arch}.block_count"),
            Heads = heads,
            KvHeads = m.Integer($"{arch}.attention.head_count_kv", heads),
            HeadDim = headDim,
            MaxContext = m.Integer($"{arch}.context_length"),
            NormEpsilon = m.FindNumber($"{arch}.attention.layer_norm_rms_epsilon")
                ?? throw new ModelFormatException(gguf.Path, $"has no metadata '{arch}.attention.layer_norm_rms_epsilon'"),
            RopeTheta = m.FindNumber($"{arch}.rope.freq_base") ?? 10000f,
            RopeScaling = Scaling(gguf, arch),
            RopeFrequencyFactors = Factors(gguf, headDim),
            RopeStyle = arch == "llama" ? RopeStyle.Interleaved : RopeStyle.HalfSplit,
            SlidingWindow = m.Integer($"{arch}.attention.sliding_window", 0),
            Experts = experts,
            ActiveExperts = experts > 0 ? m.Integer($"{arch}.expert_used_count") : 0,
            QkvBias = gguf.Tensors.ContainsKey("blk.0.attn_q.bias"),
            OutputBias = gguf.Tensors.ContainsKey("blk.0.attn_output.bias"),
            MlpBias = gguf.Tensors.ContainsKey("blk.0.ffn_gate.bias"),
            TiedEmbeddings = !gguf.Tensors.ContainsKey("output.weight"),
            BosId = m.FindInteger("tokenizer.ggml.bos_token_id"),
            EosIds = GgufTokenizer.EndIds(m, eos),
        }, gguf.Path);
    }

    private static int Vocabulary(GgufFile gguf, string arch)
    {
        int? size = gguf.Metadata.FindInteger($"{arch}.vocab_size");
        int? tokens = gguf.Metadata.FindStrings("tokenizer.ggml.tokens")?.Length;
        if (size is not null && tokens is not null && size != tokens)
            throw new ModelFormatException(gguf.Path, $"'{arch}.vocab_size' is {size}, 'tokenizer.ggml.tokens' has {tokens} entries");
        return size ?? tokens ?? throw new ModelFormatException(gguf.Path, $"has neither '{arch}.vocab_size' nor 'tokenizer.ggml.tokens'");
    }

    private static RopeScaling Scaling(GgufFile gguf, string arch)
    {
        var m = gguf.Metadata;
        // Files from before there were scaling types have the linear factor alone.
        float factor = m.FindNumber($"{arch}.rope.scaling.factor") ?? m.FindNumber($"{arch}.rope.scale_linear") ?? 1f;
        string? type = m.FindString($"{arch}.rope.scaling.type");
        return type switch
        {
            "none" => RopeScaling.None,
            null when factor is 0f or 1f => RopeScaling.None, // 0 stands for absent
            null or "linear" => new RopeScaling(RopeScalingKind.Linear, factor),
            _ => throw new ModelFormatException(gguf.Path, $"rope scaling '{type}' is not supported; supported are none and linear"),
        };
    }

    /// <summary>Llama 3.1 files carry their scaling worked out, as one divisor a frequency.</summary>
    private static unsafe float[]? Factors(GgufFile gguf, int headDim)
    {
        if (!gguf.Tensors.TryGetValue(FrequencyFactors, out var tensor)) return null;
        if (tensor.Format != WeightFormat.F32 || tensor.Shape.Count != 1 || tensor.Shape[0] != headDim / 2)
        {
            throw new ModelFormatException(gguf.Path,
                $"tensor '{FrequencyFactors}' is {tensor.Format} of shape [{string.Join(", ", tensor.Shape)}], it must be F32 of shape [{headDim / 2}]");
        }
        return new ReadOnlySpan<float>(tensor.Data, headDim / 2).ToArray();
    }

    private static void Same(GgufFile gguf, string key, int expected, string what)
    {
        if (gguf.Metadata.FindInteger(key) is int value && value != expected)
            throw new ModelFormatException(gguf.Path, $"'{key}' is {value}, the {what} is {expected}; different ones are not supported");
    }
}
