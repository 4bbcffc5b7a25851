using IlgpuSparse.Compute;

namespace IlgpuSparse.Cache;

/// <summary>
/// The tokens of one sequence in a <see cref="KvCache"/>: how many, and in which blocks. Growing takes blocks from the pool; disposing gives them back. Sequences with a common beginning can share its whole blocks
/// (<see cref="Fork"/>), in K, V and labels alike; what is shared is only read.
/// </summary>
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

    /// <summary>Blocks that it holds.</summary>
    internal int BlocksHeld => _used;

    /// <summary>Takes blocks until <paramref name="length"/> tokens fit. <see cref="Length"/> does not change.</summary>
    /// <exception cref="InvalidOperationException">The pool is empty, or the next token would be written to a block that is shared.</exception>
    internal void Reserve(int length)
    {
        if (Length < length && Writable(Length) != Length)
            throw new InvalidOperationException($"token {Length} would be written to a block that another sequence reads: rewind to {Writable(Length)}");
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

    /// <summary>The greatest length up to <paramref name="length"/> from which tokens can be appended after a <see cref="Rewind"/>: the beginning of a block if that is shared.</summary>
    public int Writable(int length)
    {
        int block = length / KvLayer.BlockTokens;
        return length % KvLayer.BlockTokens != 0 && block < _used && _cache.IsShared(_blocks[block]) ? block * KvLayer.BlockTokens : length;
    }

    /// <summary>A sequence that begins with the first <paramref name="length"/> tokens of this one, rounded down to whole blocks, which both then share: nothing is copied or computed.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Longer than the sequence.</exception>
    public CacheSequence Fork(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        var fork = new CacheSequence(_cache);
        for (; fork._used < length / KvLayer.BlockTokens; fork._used++)
        {
            _cache.Share(_blocks[fork._used]);
            fork._blocks[fork._used] = _blocks[fork._used];
        }
        fork.Length = fork._used * KvLayer.BlockTokens;
        return fork;
    }

    /// <inheritdoc/>
    public void Dispose() => Rewind(0);
}
