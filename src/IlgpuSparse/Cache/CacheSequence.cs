using IlgpuSparse.Compute;

namespace IlgpuSparse.Cache;

/// <summary>The tokens of one sequence in a <see cref="KvCache"/>: how many, and in which blocks. Growing takes blocks from the pool; disposing gives them back.</summary>
public sealed class CacheSequence : IDisposable
{
    private readonly KvCache _cache;
    private readonly int[] _blocks;
    private int _used;

    internal CacheSequence(KvCache cache)
    {
        _cache = cache;
        _blocks = new int[cache.Blocks];
    }

    /// <summary>Tokens in the cache.</summary>
    public int Length { get; private set; }

    /// <summary>Ids of the blocks, as long as the pool; the first ceil(Length / 256) are valid.</summary>
    internal int[] Blocks => _blocks;

    /// <summary>Tokens up to which <see cref="Reserve"/> finds blocks.</summary>
    internal int Room => (_used + _cache.FreeBlocks) * KvLayer.BlockTokens;

    /// <summary>Takes blocks until <paramref name="length"/> tokens fit. <see cref="Length"/> does not change.</summary>
    /// <exception cref="InvalidOperationException">The pool is empty.</exception>
    internal void Reserve(int length)
    {
        int needed = KvCache.BlocksFor(length);
        while (_used < needed)
        {
            int block = _cache.Take(); // may throw: the count must not move before
            _blocks[_used++] = block;
        }
    }

    /// <summary>Counts <paramref name="tokens"/> written tokens in.</summary>
    internal void Advance(int tokens) => Length += tokens;

    /// <summary>Forgets the tokens from <paramref name="length"/> on, e.g. to reuse a common prefix. Their blocks go back.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Longer than the sequence.</exception>
    public void Rewind(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        if (length < Length) _cache.Forget();
        Length = length;
        int keep = KvCache.BlocksFor(length);
        while (_used > keep) _cache.Return(_blocks[--_used]);
    }

    /// <inheritdoc/>
    public void Dispose() => Rewind(0);
}
