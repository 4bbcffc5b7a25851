using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Llama;

/// <summary>Configurations for tests to which only heads, layers and the context matter.</summary>
internal static class SmallConfig
{
    /// <summary>A model of <paramref name="layers"/> layers whose rows are its query heads.</summary>
    public static LlamaConfig Of(int heads, int kvHeads, int headDim, int maxContext, int layers = 1) => new()
    {
        ModelType = "llama",
        VocabularySize = 8,
        HiddenSize = heads * headDim,
        IntermediateSize = 8,
        Layers = layers,
        Heads = heads,
        KvHeads = kvHeads,
        HeadDim = headDim,
        MaxContext = maxContext,
        NormEpsilon = 1e-5f,
    };
}
