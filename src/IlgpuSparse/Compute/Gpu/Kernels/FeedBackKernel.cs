using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Keeps the drawn tokens and moves on to the next step, one thread a row.</summary>
internal static class FeedBackKernel
{
    public const int GroupSize = 32;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>One thread a row.</summary>
    /// <param name="positions">Positions <c>[row]</c>, counted up.</param>
    /// <param name="ids">Drawn tokens <c>[row]</c>; none (-1) becomes 0, which the next step can look up.</param>
    /// <param name="history">Tokens <c>[row, slots]</c>: slot <c>position mod slots</c> takes the id as it was drawn.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="slots">A power of two.</param>
    public static void Run(ArrayView<int> positions, ArrayView<int> ids, ArrayView<int> history, int rows, int slots)
    {
        int row = Grid.IdxX * Group.DimX + Group.IdxX;
        if (row < rows)
        {
            int position = positions[row], id = ids[row];
            history[(long)row * slots + (position & (slots - 1))] = id;
            ids[row] = Math.Max(id, 0);
            positions[row] = position + 1;
        }
    }
}
