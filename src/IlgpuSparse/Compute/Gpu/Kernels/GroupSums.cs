using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Sums over a group through shared memory, in a fixed order, for groups of any multiple of 16 threads.</summary>
internal static class GroupSums
{
    /// <summary>Partial sums after the first stage.</summary>
    public const int Partials = 16;

    /// <summary>
    /// Reduces <paramref name="count"/> rows of <paramref name="stride"/> numbers, one a thread of the group, to <see cref="Partials"/> a row. The caller has passed a barrier since
    /// the rows were written; this ends with one.
    /// </summary>
    public static void Fold(ArrayView<float> shared, int count, int stride)
    {
        for (int k = Group.IdxX; k < count * Partials; k += Group.DimX)
        {
            int row = (k >> 4) * stride, lane = k & (Partials - 1);
            float sum = 0f;
            for (int i = lane; i < Group.DimX; i += Partials) sum += shared[row + i];
            // elements of this lane are read by nobody else, so the row can be folded in place
            shared[row + lane] = sum;
        }
        Group.Barrier();
    }

    /// <summary>The total of a folded row.</summary>
    public static float Total(ArrayView<float> shared, int row)
    {
        float sum = 0f;
        for (int i = 0; i < Partials; i++) sum += shared[row + i];
        return sum;
    }
}
