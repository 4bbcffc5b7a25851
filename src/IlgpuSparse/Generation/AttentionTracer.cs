using System.Numerics;
using System.Runtime.InteropServices;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Generation;

/// <summary>
/// Finds out what decode steps read (<see cref="LlamaDecoder.Attended"/>) and how much of the exact attention that holds: keys come to the host, a block at a time, and are scored in full there. A look behind the
/// scenes, not a part of any step.
/// </summary>
internal sealed class AttentionTracer(LlamaDecoder decoder)
{
    private readonly AttentionShape _shape = new(decoder.Config.Heads, decoder.Config.KvHeads, decoder.Config.HeadDim, decoder.Config.SlidingWindow);
    private readonly KeyReader _reader = new(decoder.Config.KvHeads, decoder.Config.HeadDim);
    private readonly Dictionary<int, List<HeadTrace>> _rows = [];

    /// <summary>Traces these rows of the next step.</summary>
    public void Begin(IEnumerable<int> rows)
    {
        _rows.Clear();
        foreach (int row in rows) _rows[row] = [];
        decoder.Attended = _rows.Count > 0 ? Attended : null;
    }

    /// <summary>Lets later steps be recorded again.</summary>
    public void End() => decoder.Attended = null;

    /// <summary>What <paramref name="row"/> of the step since <see cref="Begin"/> read at <paramref name="position"/>; null when it was not traced.</summary>
    public AttentionTrace? Take(int row, int position) => _rows.Remove(row, out var heads) ? new AttentionTrace(position, heads) : null;

    private void Attended(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        var sets = batch.IsDense ? null : decoder.Policy.SetsOf(layer, batch);
        foreach (var (row, heads) in _rows)
        {
            float[] queries = q.SkipFloats((long)row * _shape.Heads * _shape.HeadDim).ToArray<float>(_shape.Heads * _shape.HeadDim);
            float[][] weights = new float[_shape.Heads][];
            for (int kvHead = 0; kvHead < _shape.KvHeads; kvHead++) Weigh(layer, kvHead, batch, row, queries, weights);
            int count = sets?.Sets ?? _shape.KvHeads, group = _shape.Heads / count;
            for (int set = 0; set < count; set++)
                heads.Add(Head(layer, set, sets is null ? null : Positions(sets, row, set), weights.AsSpan(set * group, group)));
        }
    }

    private static int[] Positions(TokenSets sets, int row, int set)
    {
        int place = row * sets.Sets + set;
        int[] count = new int[1];
        sets.Counts.Download(MemoryMarshal.AsBytes(count.AsSpan()), (long)place * sizeof(int));
        int[] positions = new int[count[0]];
        sets.Indices.Download(MemoryMarshal.AsBytes(positions.AsSpan()), (long)place * sets.Capacity * sizeof(int));
        Array.Sort(positions);
        return positions;
    }

    private static HeadTrace Head(int layer, int set, int[]? positions, ReadOnlySpan<float[]> weights)
    {
        float[] heat = new float[AttentionTrace.Columns];
        double kept = 0;
        foreach (float[] row in weights)
        {
            for (int t = 0; t < row.Length; t++) heat[(int)((long)t * heat.Length / row.Length)] += row[t] / weights.Length;
            if (positions is null) kept += 1;
            else foreach (int position in positions) kept += row[position];
        }
        return new HeadTrace(layer, set, positions, (float)(kept / weights.Length), heat);
    }

    // Attention weights [query head][token] of a kv head's group over the whole context.
    private void Weigh(int layer, int kvHead, StepBatch batch, int row, float[] queries, float[][] weights)
    {
        int position = batch.HostPositions[row], first = _shape.FirstVisible(position), length = position + 1, d = _shape.HeadDim, group = _shape.GroupSize;
        for (int head = kvHead * group; head < (kvHead + 1) * group; head++) weights[head] = new float[length];
        float scale = 1 / MathF.Sqrt(d);
        for (int start = first / KvLayer.BlockTokens * KvLayer.BlockTokens; start < length; start += KvLayer.BlockTokens)
        {
            int tokens = Math.Min(KvLayer.BlockTokens, length - start);
            var keys = _reader.Read(decoder.Cache.Layers[layer], batch.HostBlocks(row)[start / KvLayer.BlockTokens], kvHead, tokens);
            for (int head = kvHead * group; head < (kvHead + 1) * group; head++)
                for (int t = 0; t < tokens; t++)
                    weights[head][start + t] = start + t < first ? float.NegativeInfinity : scale * Dot(queries.AsSpan(head * d, d), keys.Slice(t * d, d));
        }
        for (int head = kvHead * group; head < (kvHead + 1) * group; head++) Softmax(weights[head].AsSpan(), first);
    }

    private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        var sum = Vector<float>.Zero;
        int i = 0;
        for (; i <= a.Length - Vector<float>.Count; i += Vector<float>.Count) sum += new Vector<float>(a[i..]) * new Vector<float>(b[i..]);
        float result = Vector.Sum(sum);
        for (; i < a.Length; i++) result += a[i] * b[i];
        return result;
    }

    // In place; tokens before the first visible one weigh nothing.
    private static void Softmax(Span<float> scores, int first)
    {
        scores[..first].Clear();
        var visible = scores[first..];
        float largest = float.NegativeInfinity;
        foreach (float score in visible) largest = Math.Max(largest, score);
        double sum = 0;
        for (int t = 0; t < visible.Length; t++) sum += visible[t] = MathF.Exp(visible[t] - largest);
        for (int t = 0; t < visible.Length; t++) visible[t] = (float)(visible[t] / sum);
    }
}
