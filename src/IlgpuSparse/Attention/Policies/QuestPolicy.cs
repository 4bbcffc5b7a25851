using System.Numerics;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Quest (Tang et al., arXiv 2406.10774): the least and greatest value of every channel in each page of keys, in fp16, bound a page's scores by Σ max(q·min, q·max); the best pages of each query head are read whole. As in the
/// published kernels the last page is always one of them, and there are at least three. The published evaluation leaves the first two layers dense; here that is <c>dense-layers=2</c>.
/// </summary>
internal sealed class QuestPolicy : HostSelectionPolicy
{
    private const int LeastPages = 3;

    private readonly int _page;
    // per layer: [slot page, kvHead, headDim], and the keys of pages for bounds to be made anew after a sequence was taken back
    private readonly float[]?[] _least;
    private readonly float[]?[] _greatest;
    private readonly float[]?[] _keys;
    private readonly int[] _indices;
    private readonly int[] _counts;

    public QuestPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
        : base(backend, config, cache, options, maxRows, config.Heads, MostTokens(options, cache.Capacity))
    {
        if (KvLayer.BlockTokens % options.PageTokens != 0) throw new ArgumentException($"page={options.PageTokens}: pages must divide a block of {KvLayer.BlockTokens} tokens", nameof(options));
        _page = options.PageTokens;
        int width = config.KvHeads * config.HeadDim;
        _least = new float[]?[config.Layers];
        _greatest = new float[]?[config.Layers];
        _keys = new float[]?[config.Layers];
        for (int layer = Math.Min(options.DenseLayers, config.Layers); layer < config.Layers; layer++)
        {
            _least[layer] = new float[cache.Capacity / _page * width];
            _greatest[layer] = new float[cache.Capacity / _page * width];
            _keys[layer] = new float[cache.Capacity * width];
        }
        _indices = new int[maxRows * config.Heads * Sets.Capacity];
        _counts = new int[maxRows * config.Heads];
    }

    public override long AuxiliaryBytesPerToken => BoundBytesPerToken(Config, Settings);

    /// <summary>Two bounds of every channel, a page's shared by its tokens.</summary>
    public static long BoundBytesPerToken(LlamaConfig config, AttentionOptions options) =>
        (2L * sizeof(short) * config.HeadDim * config.KvHeads * Math.Max(0, config.Layers - options.DenseLayers) + options.PageTokens - 1) / options.PageTokens;

    /// <summary>Device bytes.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) =>
        PlannedBytes(config, options, decoder, config.Heads, MostTokens(options, KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens));

    /// <summary>Most tokens of a set.</summary>
    public static int MostTokens(AttentionOptions options, int capacity) => Math.Max(LeastPages, options.Rule.Budget(capacity) / options.PageTokens + 1) * options.PageTokens;

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key)
    {
        int d = Shape.HeadDim, width = Shape.KvHeads * d, first = slot / _page * _page;
        float[] keys = _keys[layer]!;
        key.CopyTo(keys.AsSpan(slot * width + kvHead * d, d));
        var least = _least[layer].AsSpan(slot / _page * width + kvHead * d, d);
        var greatest = _greatest[layer].AsSpan(slot / _page * width + kvHead * d, d);
        key.CopyTo(least);
        key.CopyTo(greatest);
        // from the page's own keys: the bounds may be wider than them when a sequence was taken back
        for (int other = first; other < slot; other++)
        {
            var earlier = keys.AsSpan(other * width + kvHead * d, d);
            for (int c = 0; c < d; c++)
            {
                least[c] = Math.Min(least[c], earlier[c]);
                greatest[c] = Math.Max(greatest[c], earlier[c]);
            }
        }
    }

    protected override void Choose(int layer, StepBatch batch, float[] q, float[] shares)
    {
        int group = Shape.GroupSize, width = group * Shape.HeadDim;
        Parallel.For(0, batch.Rows * Shape.KvHeads, task =>
        {
            int row = task / Shape.KvHeads, first = task * group;
            ChooseGroup(layer, task % Shape.KvHeads, batch.HostPositions[row], batch.HostBlocks(row), q.AsSpan(task * width, width), _indices.AsSpan(first * Sets.Capacity, group * Sets.Capacity), _counts.AsSpan(first, group));
        });
        ((DeviceSpan)Sets.Indices).Upload<int>(_indices.AsSpan(0, batch.Rows * Shape.Heads * Sets.Capacity));
        ((DeviceSpan)Sets.Counts).Upload<int>(_counts.AsSpan(0, batch.Rows * Shape.Heads));
    }

    private void ChooseGroup(int layer, int kvHead, int position, ReadOnlySpan<int> blocks, ReadOnlySpan<float> q, Span<int> indices, Span<int> counts)
    {
        int d = Shape.HeadDim, width = Shape.KvHeads * d, capacity = indices.Length / Shape.GroupSize;
        int visible = Shape.FirstVisible(position), firstPage = visible / _page, lastPage = position / _page, pages = lastPage - firstPage + 1;
        int wanted = Math.Min(pages, Pages(position + 1 - visible));
        var scores = new float[pages];
        var order = new int[pages];
        for (int head = 0; head < Shape.GroupSize; head++)
        {
            var query = q.Slice(head * d, d);
            for (int page = firstPage; page <= lastPage; page++)
            {
                int at = page * _page, slotPage = Slot(blocks, at) / _page;
                int row = slotPage * width + kvHead * d;
                // negated, so that the best comes first
                scores[page - firstPage] = page == lastPage ? float.NegativeInfinity : -Bound(query, _least[layer].AsSpan(row, d), _greatest[layer].AsSpan(row, d));
                order[page - firstPage] = page;
            }
            Array.Sort(scores, order);
            Array.Sort(order, 0, wanted);
            var set = indices.Slice(head * capacity, capacity);
            int count = 0;
            foreach (int page in order.AsSpan(0, wanted))
                for (int token = Math.Max(visible, page * _page); token < (page + 1) * _page && token <= position; token++) set[count++] = token;
            counts[head] = count;
        }
    }

    // Σ max(q·min, q·max): no key of the page has a higher product with q.
    private static float Bound(ReadOnlySpan<float> q, ReadOnlySpan<float> least, ReadOnlySpan<float> greatest)
    {
        var sums = Vector<float>.Zero;
        int c = 0;
        for (; c <= q.Length - Vector<float>.Count; c += Vector<float>.Count)
        {
            var x = new Vector<float>(q[c..]);
            sums += Vector.Max(x * new Vector<float>(least[c..]), x * new Vector<float>(greatest[c..]));
        }
        float sum = Vector.Sum(sums);
        for (; c < q.Length; c++) sum += Math.Max(q[c] * least[c], q[c] * greatest[c]);
        return sum;
    }

    public override long BytesRead(int position)
    {
        int visible = position + 1 - Shape.FirstVisible(position);
        long rows = Math.Min(visible, (long)Pages(visible) * _page) * Shape.GroupSize;
        return visible * (Config.Layers - SparseLayers) * RowBytes + visible * AuxiliaryBytesPerToken + rows * RowBytes * SparseLayers;
    }

    private int Pages(int visible) => Settings.Rule.Budget(visible) >= visible ? int.MaxValue / _page : Math.Max(LeastPages, Settings.Rule.Budget(visible) / _page);
}
