using System.CommandLine;

namespace IlgpuSparse.Cli;

/// <summary>Options that say how tokens are drawn.</summary>
internal static class SamplingOption
{
    /// <summary>Temperature.</summary>
    public static Option<float> Temperature() => NumberOption.Create("--temperature", "1 samples the model's own distribution, less prefers likely tokens, 0 takes the most likely one.", 0f, 100f, 0.7f, "x", "-t");

    /// <summary>Top-k.</summary>
    public static Option<int> TopK() => NumberOption.Create("--top-k", "Draw among the k most likely tokens; 0 for all.", 0, int.MaxValue, 0, "k");

    /// <summary>Top-p.</summary>
    public static Option<float> TopP() => NumberOption.Create("--top-p", "Draw among the most likely tokens that have this probability together; 1 for all.", 0f, 1f, 0.9f, "p");

    /// <summary>Min-p.</summary>
    public static Option<float> MinP() => NumberOption.Create("--min-p", "Drop tokens less likely than this share of the most likely one.", 0f, 1f, 0f, "p");

    /// <summary>Repetition penalty.</summary>
    public static Option<float> RepetitionPenalty() => NumberOption.Create("--repetition-penalty", "Divides the logits of tokens already seen; 1 for none.", 0f, 10f, 1f, "x");

    /// <summary>Seed.</summary>
    public static Option<ulong> Seed() => NumberOption.Create("--seed", "Seed of the draws: the same seed gives the same text.", ulong.MinValue, ulong.MaxValue, 0ul);
}
