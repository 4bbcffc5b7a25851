using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// What a head keeps of the tokens that it has attended to so far (online softmax, Milakov and Gimelshein 2018): the largest logit, in units of log 2, the sum of the weights relative to it, and behind
/// <see cref="Header"/> floats the weighted values in the order of <see cref="DecodeOrder{V, TElement}"/>.
/// </summary>
internal static unsafe class RunningSoftmax<V, TElement>
    where V : struct, ISimd<V>
    where TElement : struct, IKvElement
{
    /// <summary>Maximum and sum in front of the weighted values of a head, padded to a cache line.</summary>
    public const int Header = 16;

    /// <summary>A head that has seen no token; <paramref name="width"/> floats of weighted values.</summary>
    public static void Clear(float* state, int width)
    {
        state[0] = float.NegativeInfinity;
        state[1] = 0;
        new Span<float>(state + Header, width).Clear();
    }

    /// <summary>Turns a tile's logits into weights relative to the running maximum, and counts them in.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Soften(float* weights, int count, float* state, int width)
    {
        int padded = (count + V.Count - 1) / V.Count * V.Count;
        for (int i = count; i < padded; i++) weights[i] = float.NegativeInfinity;
        V most = V.Load(weights);
        for (int i = V.Count; i < padded; i += V.Count) most = V.Max(most, V.Load(weights + i));
        float tileMax = V.MaxLane(most) * TElement.Remainder;
        if (tileMax > state[0])
        {
            float keep = MathF.Pow(2f, state[0] - tileMax);
            state[0] = tileMax;
            state[1] *= keep;
            for (int i = 0; i < width; i += V.Count)
                V.Store(V.Multiply(V.Load(state + Header + i), V.Create(keep)), state + Header + i);
        }
        V sum = V.Zero, maximum = V.Create(state[0]), remainder = V.Create(TElement.Remainder);
        for (int i = 0; i < padded; i += V.Count)
        {
            V logit = V.Load(weights + i);
            if (TElement.Remainder != 1f) logit = V.Multiply(logit, remainder);
            V weight = Exp2<V>.Of(V.Subtract(logit, maximum));
            sum = V.Add(sum, weight);
            if (TElement.Remainder != 1f) weight = V.Multiply(weight, remainder);
            V.Store(weight, weights + i);
        }
        state[1] += V.Sum(sum);
    }

    /// <summary>Adds up the states of a head's <paramref name="splits"/>, <paramref name="stride"/> floats apart, by their maxima: the weighted values are left in the first one, the sum of the weights is returned.</summary>
    public static float Merge(float* states, long stride, int splits, int width)
    {
        float maximum = float.NegativeInfinity, sum = 0;
        for (int s = 0; s < splits; s++) maximum = MathF.Max(maximum, states[s * stride]);
        for (int s = 0; s < splits; s++)
        {
            float* part = states + s * stride;
            float weight = part[1] == 0 ? 0 : MathF.Pow(2f, part[0] - maximum);
            sum += weight * part[1];
            for (int i = Header; i < Header + width; i += V.Count)
            {
                V scaled = V.Multiply(V.Load(part + i), V.Create(weight));
                V.Store(s == 0 ? scaled : V.Add(V.Load(states + i), scaled), states + i);
            }
        }
        return sum;
    }
}
