using IlgpuSparse.Cache;

namespace IlgpuSparse.Generation;

/// <summary>Tokens in the cache, and the sequence that holds their keys, values and labels.</summary>
/// <param name="Sequence">As long as <paramref name="Tokens"/>.</param>
/// <param name="Tokens">The tokens.</param>
/// <param name="Exact">How many of the first ones were computed with full attention.</param>
internal sealed record KeptPrefix(CacheSequence Sequence, List<int> Tokens, int Exact)
{
    /// <summary>Tokens at the beginning that <paramref name="prompt"/> has, too, but for its last one, whose logits are wanted; <paramref name="exact"/> ones only if asked.</summary>
    public int Common(IReadOnlyList<int> prompt, bool exact)
    {
        int most = Math.Min(Math.Min(Tokens.Count, exact ? Exact : int.MaxValue), prompt.Count - 1), common = 0;
        while (common < most && Tokens[common] == prompt[common]) common++;
        return common;
    }

    /// <summary>Takes the sequence back to <paramref name="length"/> tokens.</summary>
    public KeptPrefix Rewound(int length)
    {
        Sequence.Rewind(length);
        Tokens.RemoveRange(length, Tokens.Count - length);
        return this with { Exact = Math.Min(Exact, length) };
    }

    /// <summary>A sequence of its own that shares the whole blocks of the first <paramref name="length"/> tokens.</summary>
    public KeptPrefix Forked(int length)
    {
        var fork = Sequence.Fork(length);
        return new KeptPrefix(fork, Tokens[..fork.Length], Math.Min(Exact, fork.Length));
    }
}
