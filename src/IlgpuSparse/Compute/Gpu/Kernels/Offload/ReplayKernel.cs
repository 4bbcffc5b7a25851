using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>
/// Writes recorded token lists in place of selected ones, for measurements: a token of the recorded prompt stands for as many tokens as the context is longer, one of a later step for the token of that step. Which step it is, the position says,
/// so that a recording of the step serves all.
/// </summary>
internal static class ReplayKernel
{
    public const int GroupSize = 256;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true };

    /// <summary>
    /// Grid (any number of groups, lists). <paramref name="recorded"/> <c>[step, layer, head, room]</c> in ascending order; <paramref name="lengths"/> <c>[step, layer, head, 2]</c>: tokens of the prompt, and all.
    /// </summary>
    public static void Run(ArrayView<int> positions, ArrayView<int> recorded, ArrayView<int> lengths, ArrayView<int> tokens, ArrayView<int> counts, ReplayArgs args)
    {
        int set = Grid.IdxY, step = (positions[0] - args.Start) % args.Steps;
        int list = (step * args.Layers + args.Layer) * args.Heads + set % args.Heads;
        int old = lengths[2 * list], stretched = old * args.Stretch, count = IntrinsicMath.Min(stretched + lengths[2 * list + 1] - old, args.Capacity);
        for (int entry = Grid.IdxX * Group.DimX + Group.IdxX; entry < count; entry += Grid.DimX * Group.DimX)
        {
            int place = entry < stretched ? entry / args.Stretch : old + entry - stretched, token = recorded[(long)list * args.Room + place];
            tokens[(long)set * args.Capacity + entry] = entry < stretched ? token * args.Stretch + entry % args.Stretch : args.Start + token - args.Prompt;
        }
        if (Grid.IdxX + Group.IdxX == 0) counts[set] = count;
    }
}
