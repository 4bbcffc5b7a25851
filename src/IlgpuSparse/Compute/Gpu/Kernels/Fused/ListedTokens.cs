using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>The group's own tokens, in shared memory or not: all of <see cref="KvView.Tokens"/>.</summary>
internal readonly struct ListedTokens : ITokenSource
{
    public static bool Contiguous => false;

    public static int RowsPerGroup => 1;

    public static bool Sees(KvView cache, AttentionArgs args, int row, int entry) => true;

    public static KeyRange Range(KvView cache, AttentionArgs args, int row, int set)
    {
        KeyRange range;
        range.First = 0;
        range.End = (int)cache.Tokens.Length;
        return range;
    }

    public static int Position(KvView cache, AttentionArgs args, int row, int set, int entry) => cache.Tokens[entry];
}
