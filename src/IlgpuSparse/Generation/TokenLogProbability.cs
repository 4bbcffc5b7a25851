namespace IlgpuSparse.Generation;

/// <summary>A token and the natural logarithm of its probability.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProbability">At most 0.</param>
public readonly record struct TokenLogProbability(int Id, float LogProbability)
{
    /// <summary>Log-probability of <paramref name="token"/> for <paramref name="logits"/> <c>[vocabulary]</c>, and the <paramref name="count"/> most likely tokens.</summary>
    internal static (float LogProbability, TokenLogProbability[] MostLikely) Of(ReadOnlySpan<float> logits, int token, int count)
    {
        float largest = float.NegativeInfinity;
        foreach (float logit in logits) largest = Math.Max(largest, logit);
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp(logit - largest);
        float normaliser = largest + (float)Math.Log(sum);
        var best = new PriorityQueue<int, (float, int)>(); // the least likely of those kept comes first; among equals the higher id goes
        for (int id = 0; id < logits.Length && count > 0; id++)
        {
            if (best.Count < count) best.Enqueue(id, (logits[id], -id));
            else best.EnqueueDequeue(id, (logits[id], -id));
        }
        var likely = new TokenLogProbability[best.Count];
        for (int i = likely.Length - 1; i >= 0; i--)
        {
            int id = best.Dequeue();
            likely[i] = new TokenLogProbability(id, logits[id] - normaliser);
        }
        return (logits[token] - normaliser, likely);
    }
}
