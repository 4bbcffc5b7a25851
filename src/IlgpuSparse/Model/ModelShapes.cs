namespace IlgpuSparse.Model;

/// <summary>Configurations of well-known models, for benchmarks with random weights.</summary>
public static class ModelShapes
{
    /// <summary>Names that <see cref="Find"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["llama-2-7b", "llama-3-8b", "mixtral-8x7b", "tiny"];

    /// <summary>The configuration of <paramref name="name"/>, with <paramref name="layers"/> layers instead of its own when that is not 0, to fit a smaller device.</summary>
    /// <exception cref="ArgumentException">No such shape, or a negative number of layers.</exception>
    public static LlamaConfig Find(string name, int layers = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layers);
        var config = name switch
        {
            "llama-2-7b" => new LlamaConfig
            {
                ModelType = "llama",
                VocabularySize = 32_000,
                HiddenSize = 4096,
                IntermediateSize = 11_008,
                Layers = 32,
                Heads = 32,
                KvHeads = 32,
                HeadDim = 128,
                MaxContext = 4096,
                NormEpsilon = 1e-5f,
            },
            "llama-3-8b" => new LlamaConfig
            {
                ModelType = "llama",
                VocabularySize = 128_256,
                HiddenSize = 4096,
                IntermediateSize = 14_336,
                Layers = 32,
                Heads = 32,
                KvHeads = 8,
                HeadDim = 128,
                MaxContext = 8192,
                NormEpsilon = 1e-5f,
                RopeTheta = 500_000f,
            },
            "mixtral-8x7b" => new LlamaConfig
            {
                ModelType = "mixtral",
                VocabularySize = 32_000,
                HiddenSize = 4096,
                IntermediateSize = 14_336,
                Layers = 32,
                Heads = 32,
                KvHeads = 8,
                HeadDim = 128,
                MaxContext = 32_768,
                NormEpsilon = 1e-5f,
                RopeTheta = 1_000_000f,
                Experts = 8,
                ActiveExperts = 2,
            },
            // no one's model: commands are tried with it where nothing is fast
            "tiny" => new LlamaConfig
            {
                ModelType = "llama",
                VocabularySize = 32,
                HiddenSize = 64,
                IntermediateSize = 64,
                Layers = 2,
                Heads = 2,
                KvHeads = 1,
                HeadDim = 64,
                MaxContext = 8192,
                NormEpsilon = 1e-5f,
            },
            _ => throw new ArgumentException($"no shape '{name}'; there are {string.Join(", ", Names)}", nameof(name)),
        };
        return layers == 0 ? config : config with { Layers = layers };
    }
}
