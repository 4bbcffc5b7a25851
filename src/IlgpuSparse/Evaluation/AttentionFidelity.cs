namespace IlgpuSparse.Evaluation;

/// <summary>How close attention came to full attention, in a sample of steps and layers. Every number is a mean over them.</summary>
/// <param name="Samples">Steps times layers that were looked at.</param>
/// <param name="MassRecall">Share of the attention weights of full attention that the tokens hold which were read; mean over the query heads.</param>
/// <param name="TopRecall">Share of the tokens read that are among as many with the highest true scores; mean over the query heads.</param>
/// <param name="OutputError">‖y - y_dense‖ / ‖y_dense‖ of the layer's attention output, all heads together, for the same query and cache.</param>
/// <param name="TokensRead">Tokens read by a query head over those visible.</param>
public sealed record AttentionFidelity(int Samples, double MassRecall, double TopRecall, double OutputError, double TokensRead)
{
    /// <summary>The same over all of <paramref name="parts"/>; null when there are none.</summary>
    public static AttentionFidelity? Of(IEnumerable<AttentionFidelity> parts)
    {
        AttentionFidelity[] all = [.. parts];
        int samples = all.Sum(p => p.Samples);
        double Mean(Func<AttentionFidelity, double> value) => all.Sum(p => p.Samples * value(p)) / samples;
        return samples == 0 ? null : new AttentionFidelity(samples, Mean(p => p.MassRecall), Mean(p => p.TopRecall), Mean(p => p.OutputError), Mean(p => p.TokensRead));
    }
}
