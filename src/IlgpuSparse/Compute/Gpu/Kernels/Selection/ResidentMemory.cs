using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Shared memory of a group of <see cref="ResidentSelect"/>.</summary>
internal struct ResidentMemory
{
    /// <summary>Index of the word for <see cref="Arrival"/>, of that for the set's tokens to select, of that for the row's position, and of those for where open tokens begin and end that have the last selected one's code.</summary>
    public const int Flag = 0, Budget = 1, Position = 2, First = 3, End = 4;

    /// <summary>Units of 16 bytes of <see cref="Counts"/>.</summary>
    public const int CountUnits = ScoreBins.Counts / 4;

    /// <summary>How many there are of <see cref="Words"/>.</summary>
    public const int WordCount = 5;

    /// <summary>The histogram, afterwards bits for each token of a slice: <see cref="ScoreBins.Counts"/> words.</summary>
    public ArrayView<uint> Counts;

    /// <summary>Codes of scores; afterwards kept tokens, open ones, and whatever else follows.</summary>
    public ArrayView<U4> Work;

    /// <summary>The right-hand sides of the products.</summary>
    public ArrayView<U2> Fragments;

    /// <summary>Factors, summands and spreads of the queries.</summary>
    public ArrayView<float> Columns;

    /// <summary>Counts by warp.</summary>
    public ArrayView<uint> Totals;

    /// <summary>Words for one thread to tell the others.</summary>
    public ArrayView<uint> Words;

    /// <summary>The memory of a kernel, which calls this once: ILGPU allocates anew wherever it is called.</summary>
    public static ResidentMemory Allocate<TProduct, TTiles>(ResidentArgs args)
        where TProduct : struct, ILabelProduct
        where TTiles : struct, IKernelCount
    {
        var dynamic = SharedMemory.GetDynamic<U4>();
        ResidentMemory memory;
        memory.Counts = dynamic.SubView(0, CountUnits).Cast<uint>();
        memory.Work = dynamic.SubView(CountUnits, args.WorkUnits);
        memory.Fragments = SharedMemory.Allocate<U2>(SliceScores.Fragments<TProduct, KernelCounts.N1>(TTiles.Slots));
        memory.Columns = SharedMemory.Allocate<float>(3 * TTiles.Slots * ScoreKernel.TileHeads);
        memory.Totals = SharedMemory.Allocate<uint>(GroupScan.MaxWarps);
        memory.Words = SharedMemory.Allocate<uint>(WordCount);
        return memory;
    }
}
