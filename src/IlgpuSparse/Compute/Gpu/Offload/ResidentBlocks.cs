namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// Which blocks of the cache stay on the device, too: the first one of a sequence, those of its recent window, and the one that tokens are being appended to. Kept by the host; what has not been in use for longest makes room.
/// </summary>
internal sealed class ResidentBlocks
{
    private readonly int[] _placeOf; // of every block of the cache, -1 for none
    private readonly int[] _blockIn; // of every place, -1 for none
    private readonly long[] _used; // pass that last needed it, of every place
    private readonly int _window;
    private long _pass;

    /// <summary>For a cache of <paramref name="blocks"/> blocks, up to <paramref name="sequences"/> sequences at a time, and the last <paramref name="window"/> tokens of each.</summary>
    public ResidentBlocks(int blocks, int sequences, int window)
    {
        _window = window;
        _placeOf = new int[blocks];
        Array.Fill(_placeOf, -1);
        int places = Places(blocks, sequences, window);
        _blockIn = new int[places];
        Array.Fill(_blockIn, -1);
        _used = new long[places];
    }

    /// <summary>Places that are needed: the first block, the one that a chunk begins in, and the window, which may lie across.</summary>
    public static int Places(int blocks, int sequences, int window) => (int)Math.Min(blocks, (long)sequences * (3 + (window + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens));

    /// <summary>Place of <paramref name="block"/> of the cache; negative for none.</summary>
    public int this[int block] => _placeOf[block];

    /// <summary>
    /// Makes room for a pass over the rows of <paramref name="batch"/> and fills <paramref name="table"/> <c>[table row, block of the sequence]</c>. Returns what was in the cache before the pass and has to be copied to its
    /// place: table row, first position, rows.
    /// </summary>
    public IReadOnlyList<(int Row, int First, int Count)> Prepare(StepBatch batch, Span<int> table)
    {
        _pass++;
        int sequences = batch.IsPrefill ? 1 : batch.Rows;
        // all that this pass needs is marked before anything makes room
        for (int row = 0; row < sequences; row++)
        {
            foreach (int index in Needed(batch, row))
                if (_placeOf[batch.HostBlocks(row)[index]] is >= 0 and int place) _used[place] = _pass;
        }
        var loads = new List<(int Row, int First, int Count)>();
        for (int row = 0; row < sequences; row++)
        {
            int start = batch.HostPositions[row];
            foreach (int index in Needed(batch, row))
            {
                int block = batch.HostBlocks(row)[index];
                if (_placeOf[block] >= 0) continue;
                Take(block);
                int first = index << KvLayer.BlockShift, rows = Math.Min(KvLayer.BlockTokens, start - first);
                if (rows > 0) loads.Add((row, first, rows));
            }
        }
        for (int row = 0; row < sequences; row++)
        {
            var blocks = batch.HostBlocks(row);
            int used = (End(batch, row) + KvLayer.BlockTokens - 1) >> KvLayer.BlockShift;
            for (int index = 0; index < blocks.Length; index++) table[row * batch.MaxBlocks + index] = index < used ? _placeOf[blocks[index]] : -1;
        }
        return loads;
    }

    /// <summary>Forgets <paramref name="block"/>, which went back to the pool.</summary>
    public void Release(int block)
    {
        if (_placeOf[block] is not (>= 0 and int place)) return;
        _placeOf[block] = -1;
        _blockIn[place] = -1;
        _used[place] = 0;
    }

    private static int End(StepBatch batch, int row) => batch.IsPrefill ? batch.HostPositions[0] + batch.Rows : batch.HostPositions[row] + 1;

    // Blocks of the sequence, each once.
    private IEnumerable<int> Needed(StepBatch batch, int row)
    {
        int start = batch.HostPositions[row] >> KvLayer.BlockShift, end = End(batch, row), last = (end - 1) >> KvLayer.BlockShift, first = Math.Max(0, end - Math.Max(1, _window)) >> KvLayer.BlockShift;
        if (first > 0) yield return 0;
        if (start > 0 && start < first) yield return start;
        for (int index = first; index <= last; index++) yield return index;
    }

    private void Take(int block)
    {
        int place = 0;
        for (int i = 1; i < _used.Length; i++)
            if (_used[i] < _used[place]) place = i;
        if (_used[place] == _pass) throw new InvalidOperationException($"a pass needs more than the {_used.Length} blocks that stay on the device");
        if (_blockIn[place] >= 0) _placeOf[_blockIn[place]] = -1;
        _blockIn[place] = block;
        _placeOf[block] = place;
        _used[place] = _pass;
    }
}
