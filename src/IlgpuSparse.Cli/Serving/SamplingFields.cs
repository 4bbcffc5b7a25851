using IlgpuSparse.Generation;

namespace IlgpuSparse.Cli.Serving;

/// <summary>How the fields of requests become <see cref="SamplingOptions"/>.</summary>
internal static class SamplingFields
{
    /// <summary>Most tokens that can be asked for.</summary>
    public const int MostTokens = 1 << 20;

    /// <summary>Fields of OpenAI, and top_k, min_p and repetition_penalty as other servers have them.</summary>
    public static SamplingOptions OpenAi(RequestJson body)
    {
        const string Penalties = "only 0 is supported; there is 'repetition_penalty'";
        body.Refuse("presence_penalty", Penalties);
        body.Refuse("frequency_penalty", Penalties);
        body.Refuse("logit_bias", "is not supported");
        return Read(body, 1, 0, 1, "repetition_penalty");
    }

    /// <summary>Options of Ollama, with its defaults.</summary>
    public static SamplingOptions Ollama(RequestJson? options) => options is { } given ? Read(given, 0.8, 40, 0.9, "repeat_penalty") : new SamplingOptions { Temperature = 0.8f, TopK = 40, TopP = 0.9f, Seed = Seed(null) };

    private static SamplingOptions Read(RequestJson body, double temperature, int topK, double topP, string penalty) => new()
    {
        Temperature = (float)(body.Number("temperature", 0, 2) ?? temperature),
        TopK = (int)(body.Whole("top_k", 0, int.MaxValue) ?? topK),
        TopP = Math.Max((float)(body.Number("top_p", 0, 1) ?? topP), float.Epsilon), // 0 means the most likely token alone
        MinP = (float)(body.Number("min_p", 0, 1) ?? 0),
        RepetitionPenalty = (float)(body.Number(penalty, 0.01, 10) ?? 1),
        Seed = Seed(body.Whole("seed", long.MinValue, long.MaxValue)),
    };

    private static ulong Seed(long? given) => (ulong)(given ?? Random.Shared.NextInt64());
}
