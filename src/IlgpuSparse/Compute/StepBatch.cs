namespace IlgpuSparse.Compute;

/// <summary>
/// The tokens of one pass through the decoder, with their places in the cache. Either one token of each of several sequences (decode), or consecutive
/// tokens of a single sequence (prefill chunk, <see cref="IsPrefill"/>). The device copies let kernels run without the host knowing lengths.
/// </summary>
public sealed class StepBatch : IDisposable
{
    private readonly int[] _positions;
    private readonly int[] _blockTable;

    /// <summary>Allocates for up to <paramref name="maxRows"/> tokens of sequences with up to <paramref name="maxBlocks"/> cache blocks.</summary>
    public StepBatch(ComputeBackend backend, int maxRows, int maxSequences, int maxBlocks)
    {
        MaxRows = maxRows;
        MaxBlocks = maxBlocks;
        _positions = new int[maxRows];
        _blockTable = new int[maxSequences * maxBlocks];
        Positions = backend.Allocate(maxRows * sizeof(int), "step");
        BlockTable = backend.Allocate((long)maxSequences * maxBlocks * sizeof(int), "step");
    }

    /// <summary>Most rows of a pass.</summary>
    public int MaxRows { get; }

    /// <summary>Width of <see cref="BlockTable"/>.</summary>
    public int MaxBlocks { get; }

    /// <summary>Tokens in this pass.</summary>
    public int Rows { get; private set; }

    /// <summary>Whether the rows are consecutive tokens of one sequence; row 0 of <see cref="BlockTable"/> serves all of them then.</summary>
    public bool IsPrefill { get; private set; }

    /// <summary>Largest position + 1 of the pass, as far as the host knows: sizes grids and scratch.</summary>
    public int MaxLength { get; private set; }

    /// <summary>Position of each row in its sequence, int32 <c>[row]</c>, on the device.</summary>
    public DeviceBuffer Positions { get; }

    /// <summary>Cache blocks of each sequence, int32 <c>[row, MaxBlocks]</c> (one row when prefilling), on the device.</summary>
    public DeviceBuffer BlockTable { get; }

    /// <summary>Host copy of <see cref="Positions"/>.</summary>
    public ReadOnlySpan<int> HostPositions => _positions.AsSpan(0, Rows);

    /// <summary>Host copy of the block table of <paramref name="row"/>.</summary>
    public ReadOnlySpan<int> HostBlocks(int row) => _blockTable.AsSpan((IsPrefill ? 0 : row) * MaxBlocks, MaxBlocks);

    /// <summary>Sets up a prefill chunk: <paramref name="rows"/> tokens from <paramref name="start"/> of the sequence with these <paramref name="blocks"/>.</summary>
    public void SetPrefill(int start, int rows, ReadOnlySpan<int> blocks)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, MaxRows);
        Rows = rows;
        IsPrefill = true;
        MaxLength = start + rows;
        for (int i = 0; i < rows; i++) _positions[i] = start + i;
        blocks.CopyTo(_blockTable);
        Send(sequences: 1);
    }

    /// <summary>Sets up a decode step: one token of each sequence, at <paramref name="positions"/>, with <paramref name="blocks"/> of each.</summary>
    public void SetDecode(ReadOnlySpan<int> positions, IReadOnlyList<int[]> blocks)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(positions.Length, MaxRows);
        Rows = positions.Length;
        IsPrefill = false;
        MaxLength = 0;
        for (int i = 0; i < Rows; i++)
        {
            _positions[i] = positions[i];
            MaxLength = Math.Max(MaxLength, positions[i] + 1);
            blocks[i].CopyTo(_blockTable.AsSpan(i * MaxBlocks, MaxBlocks));
        }
        Send(sequences: Rows);
    }

    private void Send(int sequences)
    {
        ((DeviceSpan)Positions).Upload<int>(_positions.AsSpan(0, Rows));
        ((DeviceSpan)BlockTable).Upload<int>(_blockTable.AsSpan(0, sequences * MaxBlocks));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Positions.Dispose();
        BlockTable.Dispose();
    }
}
