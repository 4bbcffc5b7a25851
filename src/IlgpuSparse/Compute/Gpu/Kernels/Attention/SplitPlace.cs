using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>What a group works on.</summary>
internal struct SplitPlace
{
    /// <summary>Activation row.</summary>
    public int Row;

    /// <summary>First query head of the set.</summary>
    public int FirstHead;

    /// <summary>Query heads of the set.</summary>
    public int Slots;

    /// <summary>Which split.</summary>
    public int Split;

    /// <summary>Splits of the set.</summary>
    public int Splits;

    /// <summary>Which arrival counter.</summary>
    public int Set;

    /// <summary>Key head of the set.</summary>
    public int KvHead;

    /// <summary>First tile of the split.</summary>
    public int Begin;

    /// <summary>End of the split's tiles.</summary>
    public int End;

    /// <summary>Tiles that a range touches.</summary>
    public static int Tiles(KeyRange range) => ((range.End + TensorDecodeKernel.TileTokens - 1) >> 4) - (range.First >> 4);

    /// <summary>Splits that are worth having for so many tiles: the grid's, or fewer.</summary>
    public static int Count(int tiles, AttentionArgs args) =>
        IntrinsicMath.Max(1, IntrinsicMath.Min(Grid.DimX, (tiles * TensorDecodeKernel.TileTokens + args.MinSplitTokens - 1) / args.MinSplitTokens));

    /// <summary>The group's place among <paramref name="splits"/> of a range of <paramref name="tiles"/>, in a grid (splits, sets, rows).</summary>
    public static SplitPlace Of(KeyRange range, AttentionArgs args, int tiles, int splits)
    {
        int row = Grid.IdxZ, set = Grid.IdxY, split = Grid.IdxX;
        int firstTile = range.First >> 4;
        int kvHead = set / args.Parts, part = set - kvHead * args.Parts;
        return new SplitPlace
        {
            Row = row,
            FirstHead = kvHead * args.GroupSize + part * args.Slots,
            Slots = IntrinsicMath.Min(args.Slots, args.GroupSize - part * args.Slots),
            Split = split,
            Splits = splits,
            Set = row * Grid.DimY + set,
            KvHead = kvHead,
            Begin = firstTile + tiles * split / splits,
            End = firstTile + tiles * (split + 1) / splits,
        };
    }
}
