namespace IlgpuSparse.Generation;

/// <summary>How the next token is drawn from the logits. The filters apply in the order of the properties.</summary>
public sealed record SamplingOptions
{
    /// <summary>Always the most likely token.</summary>
    public static readonly SamplingOptions Greedy = new();

    /// <summary>Divides the logits of tokens that were already seen (multiplies negative ones); 1 changes nothing.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>0 takes the most likely token, 1 samples the model's own distribution.</summary>
    public float Temperature { get; init; }

    /// <summary>Keeps the k most likely tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keeps the smallest set of most likely tokens that has this probability.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Drops tokens less likely than this share of the most likely one.</summary>
    public float MinP { get; init; }

    /// <summary>Seed of the draws: the same seed gives the same text.</summary>
    public ulong Seed { get; init; }

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ArgumentException">A value outside its range, named with the range.</exception>
    public void Validate()
    {
        Check(RepetitionPenalty is > 0 and <= 10, "repetition penalty", RepetitionPenalty, "above 0, at most 10");
        Check(Temperature is >= 0 and <= 100, "temperature", Temperature, "0 to 100");
        Check(TopK >= 0, "top-k", TopK, "0 or more");
        Check(TopP is > 0 and <= 1, "top-p", TopP, "above 0, at most 1");
        Check(MinP is >= 0 and <= 1, "min-p", MinP, "0 to 1");
    }

    /// <summary>As <see cref="Validate"/>, for draws that know nothing of the text.</summary>
    /// <exception cref="ArgumentException">Also for a repetition penalty.</exception>
    internal void ValidateWithoutText()
    {
        Validate();
        if (RepetitionPenalty != 1) throw new ArgumentException($"repetition penalty {RepetitionPenalty}: a backend draws without knowing the text; let a {nameof(Sampler)} draw, or set it to 1");
    }

    private static void Check(bool good, string name, float value, string range)
    {
        if (!good) throw new ArgumentException($"{name} {value} is outside its range: {range}");
    }
}
