namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The tokens of a <see cref="TokenSets"/>: one list a kv head, or one a query head.</summary>
internal readonly struct SelectedTokens : ITokenSource
{
    public static bool Contiguous => false;

    public static int RowsPerGroup => 1;

    public static bool Sees(KvView cache, AttentionArgs args, int row, int entry) => true;

    public static KeyRange Range(KvView cache, AttentionArgs args, int row, int set)
    {
        KeyRange range;
        range.First = 0;
        range.End = cache.Counts[row * args.Sets + List(args, set)];
        return range;
    }

    public static int Position(KvView cache, AttentionArgs args, int row, int set, int entry) =>
        cache.Tokens[(long)(row * args.Sets + List(args, set)) * args.Capacity + entry];

    // with a list a query head every part is one head; with a list a kv head the parts share it
    private static int List(AttentionArgs args, int set) => args.Sets == args.Heads ? set : set / args.Parts;
}
