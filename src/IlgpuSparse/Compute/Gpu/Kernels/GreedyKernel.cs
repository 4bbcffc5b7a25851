using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>The most likely token of each row, the lowest id among equals: several groups a row look at a part of the vocabulary each, where one would take long.</summary>
internal static class GreedyKernel
{
    public const int GroupSize = 512;

    /// <summary>Threads of a group that puts the parts of a row together.</summary>
    public const int MergeSize = 32;

    /// <summary>Logits a group: a vocabulary of no more needs no second kernel.</summary>
    public const int PartLogits = 8192;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { Unroll = 0 };

    public static KernelVariant MergeVariant => KernelVariant.Of(Merge, MergeSize) with { Unroll = 0 };

    /// <summary>Grid (parts, rows).</summary>
    /// <param name="logits"><c>[row, vocabulary]</c>.</param>
    /// <param name="places">The best place of each part <c>[row, part]</c> (see <see cref="SampleKernel.Place"/>), where there are several.</param>
    /// <param name="ids">The tokens <c>[row]</c>, where a row is one part; -1 where no logit is finite.</param>
    /// <param name="vocabulary">Tokens.</param>
    public static void Run(ArrayView<float> logits, ArrayView<ulong> places, ArrayView<int> ids, int vocabulary)
    {
        var shared = SharedMemory.Allocate<ulong>(GroupSize);
        int row = Grid.IdxY, start = Grid.IdxX * PartLogits, last = IntrinsicMath.Min(start + PartLogits, vocabulary) - 1, step = Group.DimX;
        long first = (long)row * vocabulary;
        ulong best = ulong.MaxValue;
        for (int i = start + Group.IdxX; i <= last; i += 4 * step)
        {
            // four loads under way at once; behind the end the last token is looked at again, which changes nothing
            int i1 = IntrinsicMath.Min(i + step, last), i2 = IntrinsicMath.Min(i + 2 * step, last), i3 = IntrinsicMath.Min(i + 3 * step, last);
            float logit0 = logits[first + i], logit1 = logits[first + i1], logit2 = logits[first + i2], logit3 = logits[first + i3];
            best = Math.Min(best, SampleKernel.Place(logit0, i));
            best = Math.Min(best, SampleKernel.Place(logit1, i1));
            best = Math.Min(best, SampleKernel.Place(logit2, i2));
            best = Math.Min(best, SampleKernel.Place(logit3, i3));
        }
        best = SampleKernel.Least(shared, best);
        if (Group.IdxX == 0)
        {
            if (Grid.DimX > 1) places[(long)row * Grid.DimX + Grid.IdxX] = best;
            else ids[row] = SampleKernel.TokenAt(best);
        }
    }

    /// <summary>Grid of rows: the best of <paramref name="parts"/> places each.</summary>
    public static void Merge(ArrayView<ulong> places, ArrayView<int> ids, int parts)
    {
        var shared = SharedMemory.Allocate<ulong>(MergeSize);
        int row = Grid.IdxX;
        ulong best = ulong.MaxValue;
        for (int i = Group.IdxX; i < parts; i += Group.DimX) best = Math.Min(best, places[(long)row * parts + i]);
        best = SampleKernel.Least(shared, best);
        if (Group.IdxX == 0) ids[row] = SampleKernel.TokenAt(best);
    }
}
