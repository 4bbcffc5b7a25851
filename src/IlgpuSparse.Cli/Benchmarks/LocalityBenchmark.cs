using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>How many of the rows that a real model selects were selected shortly before: the model that travels with the tool continues its text with K and V in host memory, with hot rows of several sizes.</summary>
/// <param name="session">Where and how to measure.</param>
internal sealed class LocalityBenchmark(BenchSession session)
{
    /// <summary><see cref="BenchRow.What"/> of its rows.</summary>
    public const string Locality = "locality";

    private const int NewTokens = 256;

    /// <summary>Hot rows, as <c>--kv-hot</c> takes them.</summary>
    public static IReadOnlyList<string> Sizes { get; } = ["0", "1/64", "1/32", "1/16", "1/8", "1/4"];

    /// <summary>The hit rate and bytes a step with <paramref name="hot"/>.</summary>
    public BenchRow Measure(AttentionOptions attention, string hot)
    {
        using var model = ModelFile.Open(EmbeddedModel.ModelPath);
        using var weights = LlamaWeights.Load(session.Backend, model);
        int[] prompt = TextTokenizer.Create(model.Tokenizer!).Encode(File.ReadAllText(EmbeddedModel.PromptPath));
        var options = ModelOptions.Place(new DecoderOptions
        {
            Capacity = prompt.Length + NewTokens,
            Attention = attention,
            Channels = ChannelMap.Load(ChannelMapFile.Find(EmbeddedModel.ModelPath)!),
        }, KvPlacement.Host, hot, model.Config);
        using var decoder = new LlamaDecoder(session.Backend, weights, options);
        using var generator = new Generator(decoder);
        foreach (int _ in generator.Generate(prompt, new GenerationOptions { MaxTokens = NewTokens, Sampling = SamplingOptions.Greedy with { Temperature = 0.7f, TopP = 0.9f, Seed = (ulong)session.Settings.Seed } }, cancellation: session.Cancellation)) { }
        var counts = generator.Statistics.Offload!.Value;
        return new BenchRow
        {
            What = Locality,
            Model = Path.GetFileName(EmbeddedModel.ModelPath),
            Kv = "host",
            KvFormat = nameof(KvFormat.F16).ToLowerInvariant(),
            Batch = 1,
            Attention = attention.ToString(),
            Context = prompt.Length,
            HotTokens = options.HotTokens,
            HitRate = counts.HitRate,
            BusBytes = counts.BusBytesPerStep,
            Tokens = 1,
            Launched = new Timing(generator.Statistics.DecodeSeconds * 1e6 / generator.Statistics.DecodeSteps, 0, generator.Statistics.DecodeSteps),
        };
    }
}
