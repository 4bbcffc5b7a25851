using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Scores and sets in one kernel, all of whose groups are on the device at once: each scores a slice of a set's tokens and keeps codes of the scores in its shared memory until the set's groups have told each other their histograms, so that
/// scores are neither written to memory nor read again.
/// </summary>
/// <remarks>
/// Scores and sets are to the last bit those of <see cref="ScoreKernel"/> and <see cref="SetFilterKernel"/>. Groups wait for each other, so there must be no more of them than run at once, and none that others keep from a
/// multiprocessor for long.
/// </remarks>
internal static class ResidentScoreKernel
{
    public const int GroupSize = 256;

    /// <summary>Words that a lane loads of a token's label: up to 128 bits a token.</summary>
    public const int LaneWords = 1;

    // what a group may have so that a multiprocessor of an H100 has room for two
    private const int GroupBytes = 113 * 1024;

    /// <summary>Most queries of a set.</summary>
    public const int MaxQueries = FusedStepKernel.MaxHeads;

    /// <summary>The formats of labels.</summary>
    public static IReadOnlyList<LabelFormat> Formats => FusedStepKernel.Formats;

    public static KernelVariant Variant(LabelFormat format, int tiles, bool narrow) =>
        KernelVariant.Of(typeof(ResidentScoreKernel), nameof(Run), GroupSize, ScoreKernel.Product(format, narrow, tiles), KernelCounts.Of(Units(format, tiles)), KernelCounts.Of(tiles)) with
        {
            CudaOnly = true,
            MinGroups = 2,
            HoldsNext = true,
            DynamicSharedBytes = SharedBytes(format),
        };

    /// <summary>Units that a warp scores at once.</summary>
    public static int Units(LabelFormat format, int tiles) => ScoreKernel.Units(format, ScoreKernel.WithBins, LaneWords, tiles);

    public static IEnumerable<KernelVariant> Variants =>
        from format in Formats
        from tiles in new[] { 0, 1, FusedStepKernel.Tiles(MaxQueries) }
        from narrow in new[] { false, true }
        where !narrow || ScoreKernel.IsNarrow(format, 1, tiles)
        select Variant(format, tiles, narrow);

    /// <summary>Dynamic shared memory of a group in bytes: what its fragments, columns and a few words leave.</summary>
    public static int SharedBytes(LabelFormat format)
    {
        // with up to two tiles, see KernelCounts
        const int slots = 2;
        int fragments = slots * (8 / format.Bits() + 1 >> 1) * 2 * 32;
        return (GroupBytes - fragments * 8 - 3 * slots * ScoreKernel.TileHeads * sizeof(float) - (GroupScan.MaxWarps + ResidentMemory.WordCount) * sizeof(uint)) & ~1023;
    }

    /// <summary>Sizes of <paramref name="sharedBytes"/>.</summary>
    public static ResidentArgs Args(int sharedBytes) => new() { WorkUnits = sharedBytes / 16 - ResidentMemory.CountUnits };

    /// <summary>Grid (groups of a set, sets, rows).</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="score">Queries; <see cref="ScoreView.Scores"/> is for scores that are asked for.</param>
    /// <param name="select">The rule, and where histograms and sets go.</param>
    /// <param name="keys">Keys of the rows' own tokens, whose labels are still to be written; empty where they are there.</param>
    /// <param name="own">K and V of the same tokens, where they are not in the cache.</param>
    /// <param name="args">Sizes of shared memory.</param>
    public static void Run<TProduct, TUnits, TTiles>(LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own, ResidentArgs args)
        where TProduct : struct, ILabelProduct
        where TUnits : struct, IKernelCount
        where TTiles : struct, IKernelCount
    {
        var memory = ResidentMemory.Allocate<TProduct, TTiles>(args);
        var selection = ResidentSelect.Of<TProduct, TUnits, TTiles>(labels, score, select, keys, own, false, memory);
        selection.Run<TProduct, TTiles>(labels, score, select, args, memory);
        if (Arrival.IsLast(ref select.Scratch.Arrivals[selection.Number], 2 * Grid.DimX, ref memory.Words[ResidentMemory.Flag])) selection.Close<TProduct, TTiles>(labels, score, select, memory);
    }
}
