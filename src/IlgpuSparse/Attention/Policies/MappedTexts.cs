using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>Which text every block of the cache belongs to, and those of the rows of a pass: a sequence is of the text of its first block.</summary>
/// <param name="config">The model.</param>
/// <param name="cache">The cache.</param>
/// <param name="keys">Its keys.</param>
/// <param name="prior">A channel map to start from.</param>
/// <param name="most">Texts that are kept at most; the one that was not seen for longest goes first.</param>
internal sealed class MappedTexts(LlamaConfig config, KvCache cache, TextKeys keys, ChannelMap? prior, int most) : IDisposable
{
    private readonly MappedText?[] _byBlock = new MappedText?[cache.Blocks];
    private readonly List<MappedText> _live = [];
    private readonly List<Run> _runs = [];
    private long _passes;

    /// <summary>The texts that have maps, or will.</summary>
    public IReadOnlyList<MappedText> Live => _live;

    /// <summary>The rows of the pass.</summary>
    public IReadOnlyList<Run> Runs => _runs;

    /// <summary>The text of all rows of the pass; null where they are of several.</summary>
    public MappedText? Common => _runs.TrueForAll(r => r.Text == _runs[0].Text) ? _runs[0].Text : null;

    /// <summary>The rows of the pass, each with the labels of its text, or null before it has any.</summary>
    public IEnumerable<(int Row, MappedLabels? Labels)> Rows() => _runs.SelectMany(r => Enumerable.Range(r.First, r.Rows).Select(row => (row, r.Text.Labels)));

    /// <summary>The blocks of <paramref name="text"/>.</summary>
    public IEnumerable<int> BlocksOf(MappedText text) => Enumerable.Range(0, _byBlock.Length).Where(b => _byBlock[b] == text);

    /// <summary>Tells whose the rows of <paramref name="batch"/> are.</summary>
    public void Assign(StepBatch batch)
    {
        _passes++;
        _runs.Clear();
        for (int row = 0; row < batch.Rows;)
        {
            var blocks = batch.HostBlocks(row);
            int start = batch.HostPositions[row], rows = batch.IsPrefill ? batch.Rows : 1;
            // known tokens of one sequence, one behind the other
            while (row + rows < batch.Rows && batch.HostPositions[row + rows] == start + rows && SameSequence(batch, row, row + rows)) rows++;
            int first = start / KvLayer.BlockTokens, last = (start + rows - 1) / KvLayer.BlockTokens;
            var text = start == 0 ? NewText() : _byBlock[blocks[0]] ?? Recover(blocks, start);
            for (int i = first; i <= last; i++) _byBlock[blocks[i]] = text;
            _runs.Add(new Run(text, row, rows, start, _runs.TrueForAll(r => r.Text != text)));
            text.Seen = _passes;
            row += rows;
        }
    }

    /// <summary>Frees the labels of all.</summary>
    public void Dispose()
    {
        foreach (var text in _live) text.Free();
        _live.Clear();
    }

    /// <summary>Counts the pass's queries and keys of a layer in, each run to its text: a prompt's by sums where they are, others on the host.</summary>
    public void Count(int layer, int rows, PassingRows passing, DeviceSpan q, DeviceSpan k)
    {
        if (Runs is [{ Rows: > 1 } prompt] && passing.Sums(rows, q, k, prompt.Text.Calibration.Begun(layer)) is { IsEmpty: false } sums)
        {
            if (prompt.Sampled) passing.BringQueries(prompt.Text.Calibration.Queries.Rows, q);
            prompt.Text.Calibration.AddParts(layer, rows, sums, passing.Queries, prompt.Sampled);
            return;
        }
        passing.BringQueries(rows, q);
        passing.BringKeys(rows, k);
        int queryWidth = config.Heads * config.HeadDim, keyWidth = config.KvHeads * config.HeadDim;
        foreach (var run in Runs)
            run.Text.Calibration.Add(layer, run.Rows, passing.Queries.Slice(run.First * queryWidth, run.Rows * queryWidth), passing.Keys.Slice(run.First * keyWidth, run.Rows * keyWidth), run.Sampled);
    }

    private static bool SameSequence(StepBatch batch, int a, int b)
    {
        int blocks = batch.HostPositions[b] / KvLayer.BlockTokens + 1;
        return batch.HostBlocks(a)[..blocks].SequenceEqual(batch.HostBlocks(b)[..blocks]);
    }

    private MappedText NewText()
    {
        for (int block = 0; block < _byBlock.Length; block++)
            if (_byBlock[block] is not null && !cache.IsHeld(block)) _byBlock[block] = null;
        foreach (var gone in _live.Where(t => !_byBlock.Contains(t)).ToArray()) Forget(gone);
        // a text that comes back after that begins anew with the keys that it has
        if (_live.Count >= most) Forget(_live.MinBy(t => t.Seen)!);
        var text = new MappedText(new OnlineCalibration(config, prior));
        _live.Add(text);
        return text;
    }

    private void Forget(MappedText text)
    {
        text.Free();
        _live.Remove(text);
        for (int block = 0; block < _byBlock.Length; block++)
            if (_byBlock[block] == text) _byBlock[block] = null;
    }

    // The keys of a text that was forgotten are in the cache, its queries are gone.
    private MappedText Recover(ReadOnlySpan<int> blocks, int length)
    {
        var text = NewText();
        int width = config.KvHeads * config.HeadDim;
        // all alike: its channels are ranked by how its keys vary
        float[] alike = [.. Enumerable.Repeat(1f, KvLayer.BlockTokens * config.Heads * config.HeadDim)];
        var stored = new float[KvLayer.BlockTokens * width];
        for (int start = 0; start < length; start += KvLayer.BlockTokens)
        {
            int block = blocks[start / KvLayer.BlockTokens], rows = Math.Min(KvLayer.BlockTokens, length - start);
            _byBlock[block] = text;
            for (int layer = 0; layer < config.Layers; layer++)
            {
                keys.OfBlock(layer, block, stored);
                text.Calibration.Add(layer, rows, alike.AsSpan(0, rows * config.Heads * config.HeadDim), stored.AsSpan(0, rows * width), sampled: false);
            }
        }
        return text;
    }

    /// <summary>Rows of a pass that follow one another in one sequence; <paramref name="Sampled"/> where their queries may be kept.</summary>
    internal readonly record struct Run(MappedText Text, int First, int Rows, int Start, bool Sampled);
}
