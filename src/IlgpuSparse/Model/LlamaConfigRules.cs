namespace IlgpuSparse.Model;

/// <summary>What a configuration must satisfy, whichever file it comes from, before anything is sized by it.</summary>
internal static class LlamaConfigRules
{
    private const int MostVocabulary = 1 << 24;
    private const int MostWidth = 1 << 20;
    private const int MostLayers = 1024;
    private const int MostHeads = 1024;
    private const int MostHeadDim = 1024;
    private const int MostExperts = 1024;
    private const int MostContext = 1 << 28;

    /// <summary>Returns <paramref name="c"/> when it is sound.</summary>
    /// <exception cref="ModelFormatException">It is not; the message names <paramref name="file"/>, the value and the limit.</exception>
    public static LlamaConfig Check(LlamaConfig c, string file)
    {
        Between("vocabulary", c.VocabularySize, 1, MostVocabulary);
        Between("hidden size", c.HiddenSize, 1, MostWidth);
        Between("intermediate size", c.IntermediateSize, 1, MostWidth);
        Between("number of layers", c.Layers, 1, MostLayers);
        Between("number of heads", c.Heads, 1, MostHeads);
        Between("number of kv heads", c.KvHeads, 1, MostHeads);
        Between("head size", c.HeadDim, 2, MostHeadDim);
        Between("context length", c.MaxContext, 1, MostContext);
        Between("sliding window", c.SlidingWindow, 0, int.MaxValue);
        Between("number of experts", c.Experts, 0, MostExperts);
        if (c.Heads % c.KvHeads != 0) throw Bad($"{c.Heads} heads cannot share {c.KvHeads} kv heads evenly");
        if (c.HeadDim % 2 != 0) throw Bad($"the head size is {c.HeadDim}; rotary embedding needs an even one");
        if (c.Experts > 0) Between("number of active experts", c.ActiveExperts, 1, c.Experts);
        Above("norm epsilon", c.NormEpsilon, 0);
        Above("rope theta", c.RopeTheta, 1);
        var scaling = c.RopeScaling;
        if (scaling.Kind != RopeScalingKind.None) Above("rope scaling factor", scaling.Factor, 0);
        if (scaling.Kind == RopeScalingKind.Llama3)
        {
            Above("rope low frequency factor", scaling.LowFrequencyFactor, 0);
            Above("rope high frequency factor", scaling.HighFrequencyFactor, scaling.LowFrequencyFactor);
            Between("rope original context length", scaling.OriginalContext, 1, MostContext);
        }
        if (c.RopeFrequencyFactors is { } factors)
        {
            if (factors.Count != c.HeadDim / 2) throw Bad($"{factors.Count} rope frequency factors are given, the head size {c.HeadDim} needs {c.HeadDim / 2}");
            foreach (float factor in factors) Above("rope frequency factor", factor, 0);
        }
        if (c.BosId is int bos) Between("beginning-of-sequence id", bos, 0, c.VocabularySize - 1);
        foreach (int eos in c.EosIds) Between("end-of-sequence id", eos, 0, c.VocabularySize - 1);
        return c;

        void Between(string what, int value, int least, int most)
        {
            if (value < least || value > most) throw Bad($"the {what} is {value}, it must lie between {least} and {most}");
        }
        void Above(string what, float value, float limit)
        {
            if (!float.IsFinite(value) || value <= limit) throw Bad($"the {what} is {value}, it must be a number above {limit}");
        }
        ModelFormatException Bad(string problem) => new(file, problem);
    }
}
