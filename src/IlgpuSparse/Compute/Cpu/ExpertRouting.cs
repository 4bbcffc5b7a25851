namespace IlgpuSparse.Compute.Cpu;

/// <summary>Which experts a row goes to, and with what weight: softmax over all logits, the largest kept, renormalised to one (Mixtral).</summary>
internal static unsafe class ExpertRouting
{
    /// <summary>
    /// Writes the <paramref name="active"/> chosen experts of one row, best first, the lower index first among equals, and their weights. The softmax over all of them cancels in the
    /// renormalisation, so only the chosen logits are exponentiated.
    /// </summary>
    public static void Route(float* logits, int experts, int active, int* chosen, float* weights)
    {
        for (int k = 0; k < active; k++)
        {
            int best = -1;
            for (int e = 0; e < experts; e++)
                if (!new ReadOnlySpan<int>(chosen, k).Contains(e) && (best < 0 || logits[e] > logits[best])) best = e;
            chosen[k] = best;
        }
        double sum = 0;
        for (int k = 0; k < active; k++) sum += Math.Exp((double)logits[chosen[k]] - logits[chosen[0]]);
        for (int k = 0; k < active; k++) weights[k] = (float)(Math.Exp((double)logits[chosen[k]] - logits[chosen[0]]) / sum);
    }
}
