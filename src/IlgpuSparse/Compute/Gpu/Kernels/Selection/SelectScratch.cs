using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Memory between the kernels of a selection. Each of them leaves <see cref="Bins"/>, <see cref="Histogram"/>, <see cref="Arrivals"/>, <see cref="CandidateCounts"/> and <see cref="FilterCounts"/>
/// zero once the selection is done.
/// </summary>
internal struct SelectScratch
{
    /// <summary>Visible tokens by <see cref="ScoreBins"/>, <c>[set, <see cref="ScoreBins.Counts"/>]</c>.</summary>
    public ArrayView<uint> Bins;

    /// <summary>One over the spread that the bins are of, <c>[set]</c>.</summary>
    public ArrayView<float> Spreads;

    /// <summary>Visible tokens by <see cref="ScoreBins"/>, of the groups of a <see cref="ResidentScoreKernel"/>, <c>[group, <see cref="ScoreBins.Counts"/>]</c>; of length zero where there is none.</summary>
    public ArrayView<uint> Histograms;

    /// <summary>Tokens of a chunk that are kept, and in the upper half those that are open; plus one once they are counted, <c>[set, chunk]</c>.</summary>
    public ArrayView<uint> FilterCounts;

    /// <summary>Key and inverted position of the tokens in the last selected token's bin, in no order, <c>[set, <see cref="SetFilter.MaxOpen"/>]</c>.</summary>
    public ArrayView<ulong> Open;

    /// <summary>Groups that have finished, <c>[set]</c>.</summary>
    public ArrayView<int> Arrivals;

    /// <summary>Entries of <see cref="Candidates"/>, <c>[set]</c>.</summary>
    public ArrayView<int> CandidateCounts;

    /// <summary>
    /// Visible tokens by the top bits of their key, highest first, and by groups of bins: <c>[set, <see cref="SortableKey.TopCounts"/>]</c>. This and what follows, but for
    /// <see cref="Chunks"/>, of selections by mass alone.
    /// </summary>
    public ArrayView<uint> Histogram;

    /// <summary>The key of the last selected token, <c>[set]</c>.</summary>
    public ArrayView<uint> Thresholds;

    /// <summary>Tokens that may be selected: position and key, ascending within a chunk, <c>[set, token]</c>.</summary>
    public ArrayView<U2> Survivors;

    /// <summary>Survivors whose top bits do not decide: chunk in the upper 12 bits and the rest of the key below, in no order, <c>[set, token]</c>.</summary>
    public ArrayView<uint> Candidates;

    /// <summary>Survivors of a chunk (X) and candidates among them (Y), <c>[set, chunk]</c>.</summary>
    public ArrayView<U2> ChunkCounts;

    /// <summary>Where a chunk's selected tokens go (X) and how many of its tokens with the threshold's key are among them (Y), <c>[set, chunk]</c>.</summary>
    public ArrayView<U2> ChunkPlaces;

    /// <summary>The largest key of a visible token by its score, forced or not, <c>[set]</c>.</summary>
    public ArrayView<uint> Maxima;

    /// <summary>Mass of the survivors by the bins of <see cref="Histogram"/>, without forced ones, <c>[set, <see cref="SortableKey.TopBins"/>]</c>.</summary>
    public ArrayView<ulong> Masses;

    /// <summary>Mass of the tokens that are not forced, then of the forced ones, <c>[set, 2]</c>.</summary>
    public ArrayView<ulong> Totals;

    /// <summary>What is still to be found, and in which bin, <c>[set]</c>.</summary>
    public ArrayView<MassCut> Cuts;

    /// <summary>Tokens a set in <see cref="Survivors"/> and <see cref="Candidates"/>.</summary>
    public int Stride;

    /// <summary>Chunks a set in <see cref="FilterCounts"/>.</summary>
    public int FilterChunks;

    /// <summary>Chunks a set in <see cref="ChunkCounts"/> and <see cref="ChunkPlaces"/>.</summary>
    public int Chunks;
}
