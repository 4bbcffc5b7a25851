using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Every token that the row's position may see.</summary>
internal readonly struct DenseTokens : ITokenSource
{
    public static bool Contiguous => true;

    public static int RowsPerGroup => 1;

    public static bool Sees(KvView cache, AttentionArgs args, int row, int entry) => true;

    public static KeyRange Range(KvView cache, AttentionArgs args, int row, int set)
    {
        int position = cache.Positions[row];
        KeyRange range;
        range.First = args.Window > 0 ? IntrinsicMath.Max(0, position - args.Window + 1) : 0;
        range.End = position + 1;
        return range;
    }

    public static int Position(KvView cache, AttentionArgs args, int row, int set, int entry) => entry;
}
