namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>
/// How the groups of a set of <see cref="ResidentStepKernel"/> share its tokens out: the last one has the open tokens, which it ranks first, and as many fewer as the others attend to meanwhile. Where so many are open that this would be more
/// than its share, all have as many, and each that has open ones ranks them.
/// </summary>
internal struct ResidentShares
{
    /// <summary>Tokens that a group of an H100 attends to while another ranks: up to 10 µs, where memory has much to do, of a 264th of 2.9 TB/s. (128 are as good within a percent.)</summary>
    public const int RankTokens = 224;

    /// <summary>Tokens that <see cref="Groups"/> have shares of.</summary>
    public int Tokens;

    /// <summary>Groups with shares that are alike.</summary>
    public int Groups;

    /// <summary>The shares of a set of <paramref name="budget"/>, of which <paramref name="before"/> come before the open ones, for <paramref name="groups"/>.</summary>
    public static ResidentShares Of(int budget, int before, int groups)
    {
        int share = (budget + RankTokens + groups - 1) / groups, last = Math.Max(budget - before, share - RankTokens);
        bool isLess = groups > 1 && last <= share;
        ResidentShares shares;
        shares.Tokens = isLess ? budget - last : budget;
        shares.Groups = isLess ? groups - 1 : groups;
        return shares;
    }

    /// <summary>The first token of group number <paramref name="group"/>, or where those of the group before it end.</summary>
    public readonly int First(int group) => (int)((uint)Tokens * (uint)group / (uint)Groups);

    /// <summary>The end of the tokens of group number <paramref name="group"/> of a set of <paramref name="budget"/>.</summary>
    public readonly int End(int group, int budget) => group >= Groups - 1 ? group == Groups - 1 ? Tokens : budget : First(group + 1);
}
