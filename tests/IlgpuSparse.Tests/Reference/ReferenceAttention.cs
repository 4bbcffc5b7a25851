using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>Attention in double precision, as the formula says it: the judge of every backend.</summary>
internal static class ReferenceAttention
{
    /// <summary>
    /// softmax(q·Kᵀ/√d)·V of one query token. <paramref name="q"/> and the result are <c>[head, headDim]</c>, <paramref name="k"/> and <paramref name="v"/> <c>[token, kvHead, headDim]</c>.
    /// <paramref name="tokens"/> holds the tokens of each query head; null for all that <paramref name="position"/> may see. Zeros where there is none.
    /// </summary>
    public static double[] Attend(AttentionShape shape, ReadOnlySpan<float> q, ReadOnlySpan<float> k, ReadOnlySpan<float> v, int position, int[][]? tokens = null)
    {
        int headDim = shape.HeadDim;
        int first = shape.FirstVisible(position);
        int[] visible = [.. Enumerable.Range(first, position - first + 1)];
        var y = new double[shape.Heads * headDim];
        for (int head = 0; head < shape.Heads; head++)
        {
            int[] list = tokens?[head] ?? visible;
            int kvHead = head / shape.GroupSize;
            var logits = new double[list.Length];
            for (int i = 0; i < list.Length; i++)
            {
                double dot = 0;
                for (int c = 0; c < headDim; c++) dot += (double)q[head * headDim + c] * k[(list[i] * shape.KvHeads + kvHead) * headDim + c];
                logits[i] = dot / Math.Sqrt(headDim);
            }
            if (list.Length == 0) continue;
            double maximum = logits.Max(), sum = 0;
            foreach (double logit in logits) sum += Math.Exp(logit - maximum);
            for (int i = 0; i < list.Length; i++)
            {
                double weight = Math.Exp(logits[i] - maximum) / sum;
                for (int c = 0; c < headDim; c++) y[head * headDim + c] += weight * v[(list[i] * shape.KvHeads + kvHead) * headDim + c];
            }
        }
        return y;
    }
}
