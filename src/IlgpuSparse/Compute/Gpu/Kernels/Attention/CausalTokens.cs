using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Prefill: consecutive rows of one sequence, each seeing the tokens up to its own.</summary>
internal readonly struct CausalTokens : ITokenSource
{
    public static bool Contiguous => true;

    public static int RowsPerGroup => PortableAttentionKernel.MaxSlots;

    public static KeyRange Range(KvView cache, AttentionArgs args, int row, int set)
    {
        KeyRange range;
        range.First = First(args, cache.Positions[row]);
        range.End = cache.Positions[IntrinsicMath.Min(row + RowsPerGroup, args.Rows) - 1] + 1;
        return range;
    }

    public static int Position(KvView cache, AttentionArgs args, int row, int set, int entry) => entry;

    public static bool Sees(KvView cache, AttentionArgs args, int row, int entry) => entry <= cache.Positions[row] && entry >= First(args, cache.Positions[row]);

    private static int First(AttentionArgs args, int position) => args.Window > 0 ? IntrinsicMath.Max(0, position - args.Window + 1) : 0;
}
