using ILGPU;
using ILGPU.Algorithms;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Mixtral's routing on the device: the largest logits of each row, then the list of rows of each expert.</summary>
internal static class ExpertRouteKernel
{
    public const int GroupSize = 128;

    public static KernelVariant ChooseVariant => KernelVariant.Of(Choose, GroupSize);

    public static KernelVariant CombineVariant => KernelVariant.Of(Combine, GroupSize);

    public static KernelVariant ListVariant => KernelVariant.Of(List, GroupSize);

    /// <summary>
    /// One thread a row: the <paramref name="active"/> largest of <paramref name="logits"/> <c>[row, expert]</c> (the lower expert first among equals) with their softmax
    /// renormalised to one, in <paramref name="chosen"/> and <paramref name="weights"/> <c>[row, active]</c>.
    /// </summary>
    public static void Choose(ArrayView<float> logits, ArrayView<int> chosen, ArrayView<float> weights, int rows, int experts, int active)
    {
        int row = Grid.IdxX * Group.DimX + Group.IdxX;
        if (row < rows)
        {
            long input = (long)row * experts, output = (long)row * active;
            float largest = 0f, total = 0f, lastValue = float.PositiveInfinity;
            int last = -1;
            for (int slot = 0; slot < active; slot++)
            {
                // next in the order (logit down, expert up) after the last one
                float bestValue = float.NegativeInfinity;
                int best = -1;
                for (int e = 0; e < experts; e++)
                {
                    float value = logits[input + e];
                    bool after = value < lastValue || (value == lastValue && e > last);
                    if (after && (best < 0 || value > bestValue))
                    {
                        bestValue = value;
                        best = e;
                    }
                }
                if (slot == 0) largest = bestValue;
                float weight = XMath.Exp(bestValue - largest);
                chosen[output + slot] = best;
                weights[output + slot] = weight;
                total += weight;
                lastValue = bestValue;
                last = best;
            }
            for (int slot = 0; slot < active; slot++) weights[output + slot] /= total;
        }
    }

    /// <summary>One thread a number: y[row, c] += Σ weights[row, rank] · outputs[row, rank, c], ranks in order.</summary>
    public static void Combine(ArrayView<float> outputs, ArrayView<float> weights, ArrayView<float> y, int rows, int width, int active)
    {
        long i = (long)Grid.IdxX * Group.DimX + Group.IdxX;
        if (i < (long)rows * width)
        {
            int row = (int)(i / width), column = (int)(i - (long)row * width);
            float sum = y[i];
            for (int slot = row * active; slot < (row + 1) * active; slot++) sum += weights[slot] * outputs[(long)slot * width + column];
            y[i] = sum;
        }
    }

    /// <summary>One thread an expert: its rows in order, with their weights, <c>[expert, rows]</c>, and how many.</summary>
    public static void List(ArrayView<int> chosen, ArrayView<float> weights, RowList list, int rows, int experts, int active)
    {
        int expert = Grid.IdxX * Group.DimX + Group.IdxX;
        if (expert < experts)
        {
            long output = (long)expert * list.Stride;
            int count = 0;
            for (int i = 0; i < rows * active; i++)
            {
                if (chosen[i] == expert)
                {
                    list.Rows[output + count] = i / active;
                    list.Weights[output + count] = weights[i];
                    count++;
                }
            }
            list.Counts[expert] = count;
        }
    }
}
