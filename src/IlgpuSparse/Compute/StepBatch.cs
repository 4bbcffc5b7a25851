using System.Numerics;

namespace IlgpuSparse.Compute;

/// <summary>
/// The tokens of one pass through the decoder, with their places in the cache. Either one token of each of several sequences (decode), or consecutive
/// tokens of a single sequence (prefill chunk, <see cref="IsPrefill"/>). The device copies let kernels run without the host knowing lengths.
/// </summary>
public sealed class StepBatch : IDisposable
{
    private readonly int[] _positions;
    private readonly int[] _blockTable;
    // what lies on the device: only what differs is sent
    private readonly int[] _sentPositions;
    private readonly int[] _sentBlocks;

    /// <summary>Allocates for up to <paramref name="maxRows"/> tokens of sequences with up to <paramref name="maxBlocks"/> cache blocks.</summary>
    public StepBatch(ComputeBackend backend, int maxRows, int maxSequences, int maxBlocks)
    {
        MaxRows = maxRows;
        MaxBlocks = maxBlocks;
        _positions = new int[maxRows];
        _blockTable = new int[maxSequences * maxBlocks];
        _sentPositions = [.. Enumerable.Repeat(-1, maxRows)];
        _sentBlocks = [.. Enumerable.Repeat(-1, maxSequences * maxBlocks)];
        Positions = backend.Allocate(maxRows * sizeof(int), "step");
        try
        {
            BlockTable = backend.Allocate((long)maxSequences * maxBlocks * sizeof(int), "step");
        }
        catch
        {
            Positions.Dispose();
            throw;
        }
    }

    /// <summary>Most rows of a pass.</summary>
    public int MaxRows { get; }

    /// <summary>Width of <see cref="BlockTable"/>.</summary>
    public int MaxBlocks { get; }

    /// <summary>Tokens in this pass.</summary>
    public int Rows { get; private set; }

    /// <summary>Whether the rows are consecutive tokens of one sequence; row 0 of <see cref="BlockTable"/> serves all of them then.</summary>
    public bool IsPrefill { get; private set; }

    /// <summary>Whether a decode step attends to every token, whatever the policy.</summary>
    public bool IsDense { get; private set; }

    /// <summary>Whether the rows of a decode step are tokens of one sequence, which see those before them.</summary>
    internal bool IsRun { get; private set; }

    /// <summary>Largest position + 1 of the pass.</summary>
    public int MaxLength { get; private set; }

    /// <summary>
    /// What grids and scratch are sized for: <see cref="MaxLength"/>, in decode steps rounded up by at most an eighth (or to a block), so that a recorded step stays right for the steps
    /// that follow. Kernels read the true lengths from <see cref="Positions"/>.
    /// </summary>
    public int GridLength { get; private set; }

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
        IsPrefill = IsDense = true;
        IsRun = false;
        MaxLength = GridLength = start + rows;
        for (int i = 0; i < rows; i++) _positions[i] = start + i;
        blocks.CopyTo(_blockTable);
        Send(sequences: 1);
    }

    /// <summary>Sets up a decode step: one token of each sequence, at <paramref name="positions"/>, with <paramref name="blocks"/> of each; <paramref name="dense"/> as <see cref="IsDense"/>.</summary>
    public void SetDecode(ReadOnlySpan<int> positions, IReadOnlyList<int[]> blocks, bool dense = false)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(positions.Length, MaxRows);
        Rows = positions.Length;
        IsPrefill = IsRun = false;
        IsDense = dense;
        MaxLength = 0;
        for (int i = 0; i < Rows; i++)
        {
            _positions[i] = positions[i];
            MaxLength = Math.Max(MaxLength, positions[i] + 1);
            blocks[i].CopyTo(_blockTable.AsSpan(i * MaxBlocks, MaxBlocks));
        }
        long step = Math.Max(KvLayer.BlockTokens, BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, MaxLength)) >> 4);
        GridLength = (int)Math.Min((MaxLength + step - 1) / step * step, (long)MaxBlocks * KvLayer.BlockTokens);
        Send(sequences: Rows);
    }

    /// <summary>As <see cref="SetDecode"/> for <paramref name="rows"/> tokens of one sequence, one after the other from <paramref name="start"/> on.</summary>
    internal void SetRun(int start, int rows, int[] blocks)
    {
        SetDecode([.. Enumerable.Range(start, rows)], [.. Enumerable.Repeat(blocks, rows)]);
        IsRun = true;
    }

    /// <summary>Counts in that the device has moved the positions of the last decode step on by one (<see cref="ComputeBackend.AdvancePositions"/>).</summary>
    internal void NoteAdvanced()
    {
        for (int i = 0; i < Rows; i++) _sentPositions[i]++;
    }

    private void Send(int sequences)
    {
        Send(Positions, _positions.AsSpan(0, Rows), _sentPositions);
        Send(BlockTable, _blockTable.AsSpan(0, sequences * MaxBlocks), _sentBlocks);
    }

    private static void Send(DeviceSpan target, ReadOnlySpan<int> values, int[] sent)
    {
        if (values.SequenceEqual(sent.AsSpan(0, values.Length))) return;
        target.Upload(values);
        values.CopyTo(sent);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Positions.Dispose();
        BlockTable.Dispose();
    }
}
