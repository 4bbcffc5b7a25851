using IlgpuSparse.Cache;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Generation;

/// <summary>
/// Finished texts that stay in the KV cache while nobody needs their blocks. A prompt that begins like one of them, or like a text in progress, starts from its keys, values and labels: it takes the sequence over and rewinds
/// it to the common prefix, or shares its whole blocks where more would be lost than saved.
/// </summary>
internal sealed class PrefixCache(KvCache cache, int most) : IDisposable
{
    // the one used longest ago first
    private readonly List<KeptPrefix> _kept = [];

    /// <summary>How many there are.</summary>
    public int Count => _kept.Count;

    /// <summary>Blocks they hold, shared ones counted for each.</summary>
    public int BlocksHeld => _kept.Sum(k => k.Sequence.BlocksHeld);

    /// <summary>The beginning of <paramref name="prompt"/> that is in the cache already, as a sequence to go on with; an empty one when there is none.</summary>
    /// <param name="prompt">At least one token.</param>
    /// <param name="exact">Only what was computed with full attention will do.</param>
    /// <param name="running">Texts in progress.</param>
    public KeptPrefix Take(IReadOnlyList<int> prompt, bool exact, IEnumerable<KeptPrefix> running)
    {
        KeptPrefix? best = null;
        int usable = 0;
        bool takeOver = false;
        for (int i = _kept.Count - 1; i >= 0; i--)
        {
            var kept = _kept[i];
            int common = kept.Common(prompt, exact), whole = common / KvLayer.BlockTokens * KvLayer.BlockTokens, rewound = kept.Sequence.Writable(common);
            bool better = kept.Tokens.Count - rewound <= rewound - whole + KvLayer.BlockTokens; // not much more is lost than is saved
            Consider(kept, better ? rewound : whole, better);
        }
        foreach (var text in running) Consider(text, text.Common(prompt, exact) / KvLayer.BlockTokens * KvLayer.BlockTokens, false);
        if (best is null) return new KeptPrefix(cache.NewSequence(), [], 0);
        if (!takeOver) return best.Forked(usable);
        _kept.Remove(best);
        return best.Rewound(usable);

        void Consider(KeptPrefix candidate, int length, bool over)
        {
            if (length <= usable) return;
            (best, usable, takeOver) = (candidate, length, over);
        }
    }

    /// <summary>Keeps a text; those that are a beginning of it are given up, and the one used longest ago when there are too many.</summary>
    public void Keep(KeptPrefix text)
    {
        if (text.Tokens.Count == 0 || most == 0)
        {
            text.Sequence.Dispose();
            return;
        }
        for (int i = _kept.Count - 1; i >= 0; i--)
        {
            if (_kept[i].Exact > text.Exact || _kept[i].Tokens.Count > text.Tokens.Count || !text.Tokens.Take(_kept[i].Tokens.Count).SequenceEqual(_kept[i].Tokens)) continue;
            _kept[i].Sequence.Dispose();
            _kept.RemoveAt(i);
        }
        _kept.Add(text);
        if (_kept.Count > most) Evict();
    }

    /// <summary>Gives up the text that was used longest ago; false when there is none.</summary>
    public bool Evict()
    {
        if (_kept.Count == 0) return false;
        _kept[0].Sequence.Dispose();
        _kept.RemoveAt(0);
        return true;
    }

    public void Dispose()
    {
        while (Evict()) { }
    }
}
