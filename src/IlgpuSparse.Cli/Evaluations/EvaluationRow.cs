using IlgpuSparse.Evaluation;

namespace IlgpuSparse.Cli.Evaluations;

/// <summary>What one attention made of one task.</summary>
internal sealed record EvaluationRow
{
    /// <summary>The task, as <see cref="EvaluationTask.Parse"/> reads it.</summary>
    public required string Task { get; init; }

    /// <summary>Where sparse attention begins.</summary>
    public required EvaluationSetup Setup { get; init; }

    /// <summary>The attention, every setting that matters said.</summary>
    public required string Attention { get; init; }

    /// <summary>Bits that the attention keeps a token and kv head beside K and V, mean over all layers.</summary>
    public required double AuxiliaryBits { get; init; }

    /// <summary>What the attention needs to keep of such a context, over K and V of all of it.</summary>
    public required double Memory { get; init; }

    /// <summary>Bytes read (labels and the like counted) over what full attention reads.</summary>
    public required double Density { get; init; }

    /// <summary>Bytes of K, V and auxiliary data that a step reads.</summary>
    public required double BytesPerStep { get; init; }

    /// <summary>Tokens predicted, or questions asked.</summary>
    public required int Cases { get; init; }

    /// <summary>exp of the mean loss; null where questions are asked.</summary>
    public double? Perplexity { get; init; }

    /// <summary>Perplexity over that of full attention.</summary>
    public double? Ratio { get; init; }

    /// <summary>95 % of <see cref="Ratio"/>, from the paired losses of the tokens.</summary>
    public ConfidenceInterval? RatioInterval { get; init; }

    /// <summary>Share of the questions that were answered right; null where text is predicted.</summary>
    public double? Accuracy { get; init; }

    /// <summary>Wilson's 95 % of <see cref="Accuracy"/>.</summary>
    public ConfidenceInterval? AccuracyInterval { get; init; }

    /// <summary>Accuracy minus that of full attention on the same questions.</summary>
    public double? Difference { get; init; }

    /// <summary>95 % of <see cref="Difference"/>, from the paired questions.</summary>
    public ConfidenceInterval? DifferenceInterval { get; init; }

    /// <summary>Questions that full attention answers right and this one does not.</summary>
    public int? Lost { get; init; }

    /// <summary>Questions that this one answers right and full attention does not.</summary>
    public int? Won { get; init; }

    /// <summary>Mean loss of the tokens of the answers, natural logarithm.</summary>
    public required double MeanLoss { get; init; }

    /// <summary>How close a sample of steps came to full attention; null where none was looked at.</summary>
    public AttentionFidelity? Fidelity { get; init; }

    /// <summary>Sums <paramref name="results"/> up, and pairs them with <paramref name="dense"/>: results of the same items.</summary>
    public static EvaluationRow Create(EvaluationTask task, EvaluationSetup setup, string attention, double auxiliaryBits, double memory, IReadOnlyList<ItemResult> results, IReadOnlyList<ItemResult> dense)
    {
        double[] losses = Losses(results), denseLosses = Losses(dense);
        bool[] right = Right(results), denseRight = Right(dense);
        var row = new EvaluationRow
        {
            Task = task.ToString(),
            Setup = setup,
            Attention = attention,
            AuxiliaryBits = auxiliaryBits,
            Memory = memory,
            Fidelity = AttentionFidelity.Of(results.Select(r => r.Fidelity).OfType<AttentionFidelity>()),
            Density = (double)results.Sum(r => r.BytesRead) / Math.Max(1, results.Sum(r => r.DenseBytesRead)),
            BytesPerStep = (double)results.Sum(r => r.BytesRead) / Math.Max(1, results.Sum(r => r.Steps)),
            Cases = task.Kind == EvaluationKind.Perplexity ? losses.Length : right.Length,
            MeanLoss = losses.Average(),
        };
        if (task.Kind == EvaluationKind.Perplexity)
        {
            var paired = ConfidenceInterval.OfMean([.. losses.Zip(denseLosses, (a, b) => a - b)]);
            return row with
            {
                Perplexity = Math.Exp(row.MeanLoss),
                Ratio = Math.Exp(row.MeanLoss - denseLosses.Average()),
                RatioInterval = new ConfidenceInterval(Math.Exp(paired.Low), Math.Exp(paired.High)),
            };
        }
        int hits = right.Count(r => r);
        return row with
        {
            Accuracy = (double)hits / right.Length,
            AccuracyInterval = ConfidenceInterval.Wilson(hits, right.Length),
            Difference = (double)(hits - denseRight.Count(r => r)) / right.Length,
            DifferenceInterval = ConfidenceInterval.OfMean([.. right.Zip(denseRight, (a, b) => (a ? 1.0 : 0) - (b ? 1 : 0))]),
            Lost = right.Zip(denseRight).Count(p => !p.First && p.Second),
            Won = right.Zip(denseRight).Count(p => p.First && !p.Second),
        };
    }

    private static double[] Losses(IReadOnlyList<ItemResult> results) => [.. results.SelectMany(r => r.Questions).SelectMany(q => q.Losses)];

    private static bool[] Right(IReadOnlyList<ItemResult> results) => [.. results.SelectMany(r => r.Questions).Select(q => q.Right)];
}
