using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// StreamingLLM (Xiao et al., arXiv 2309.17453) with positions inside its cache, as published: what was dropped leaves no gap, so the last tokens follow the first ones. Positions matter by their differences alone: those among
/// the last tokens stay, and to the first ones the query is nearer by what was dropped. So the first ones are attended to with a query turned back that far, the last ones with the query as it is, and the two are merged
/// by their log-sum-exps.
/// </summary>
internal sealed class RepositionedStreamingPolicy : HostSelectionPolicy
{
    private readonly float[] _frequencies;
    // per layer: [slot, kvHead, headDim]
    private readonly float[][] _keys;
    private readonly TokenSets _sinks;
    private readonly TokenSets _window;
    private readonly DeviceBuffer _turned;
    private readonly DeviceBuffer _other;

    public RepositionedStreamingPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, AttentionOptions options, int maxRows)
        : base(backend, config, cache, options, maxRows, config.KvHeads, options.Rule.Budget(cache.Capacity))
    {
        _frequencies = RopeTable.Frequencies(config);
        _keys = [.. Enumerable.Range(0, config.Layers).Select(_ => new float[cache.Capacity * config.KvHeads * config.HeadDim])];
        _sinks = NewSets();
        _window = NewSets();
        _turned = backend.Allocate((long)maxRows * config.Heads * config.HeadDim * sizeof(float), "scratch");
        _other = backend.Allocate((long)maxRows * config.Heads * config.HeadDim * sizeof(float), "scratch");

        TokenSets NewSets() => new(backend.Allocate((long)maxRows * config.KvHeads * Sets.Capacity * sizeof(int), "scratch"), backend.Allocate((long)maxRows * config.KvHeads * sizeof(int), "scratch"), config.KvHeads, Sets.Capacity);
    }

    public override long AuxiliaryBytesPerToken => 0;

    /// <summary>Device bytes: three sets of sets, and room for a query and a result.</summary>
    public static long PlannedBytes(LlamaConfig config, AttentionOptions options, DecoderOptions decoder) =>
        3 * PlannedBytes(config, options, decoder, config.KvHeads, options.Rule.Budget(KvCache.BlocksFor(decoder.Capacity) * KvLayer.BlockTokens))
        + 2L * decoder.MaxSequences * config.Heads * config.HeadDim * sizeof(float);

    public override double KeptShare(int length) => (double)Settings.Rule.Budget(length) / length;

    protected override void Keep(int layer, int kvHead, int slot, ReadOnlySpan<float> key) => key.CopyTo(Key(layer, kvHead, slot));

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        // the sets of a step are those of its first layer
        if (layer == 0) Divide(batch);
        int width = Shape.Heads * Shape.HeadDim;
        bool any = false;
        float[] queries = q.ToArray<float>(batch.Rows * width), turned = [.. queries];
        for (int row = 0; row < batch.Rows; row++)
        {
            var (first, sinks, window) = Parts(batch.HostPositions[row]);
            any |= sinks > 0;
            int dropped = batch.HostPositions[row] + 1 - window - (first + sinks);
            for (int head = 0; head < Shape.Heads; head++) TurnBack(turned.AsSpan(row * width + head * Shape.HeadDim, Shape.HeadDim), dropped);
        }
        Backend.AttendSelected(Shape, Cache.Layers[layer], batch, q, _window, y);
        if (!any) return;
        ((DeviceSpan)_turned).Upload<float>(turned);
        Backend.AttendSelected(Shape, Cache.Layers[layer], batch, _turned, _sinks, _other);
        float[] result = y.ToArray<float>(batch.Rows * width), others = ((DeviceSpan)_other).ToArray<float>(batch.Rows * width);
        for (int row = 0; row < batch.Rows; row++)
        {
            int position = batch.HostPositions[row];
            var (first, sinks, window) = Parts(position);
            if (sinks == 0) continue;
            for (int head = 0; head < Shape.Heads; head++)
            {
                int at = row * width + head * Shape.HeadDim;
                float near = LogSumExp(layer, head, batch.HostBlocks(row), position + 1 - window, window, queries.AsSpan(at, Shape.HeadDim));
                float far = LogSumExp(layer, head, batch.HostBlocks(row), first, sinks, turned.AsSpan(at, Shape.HeadDim));
                float share = 1 / (1 + MathF.Exp(near - far));
                for (int c = 0; c < Shape.HeadDim; c++) result[at + c] += share * (others[at + c] - result[at + c]);
            }
        }
        y.Upload<float>(result);
    }

    protected override void Choose(int layer, StepBatch batch, float[] q, float[] shares) => throw new NotSupportedException("its attention has two parts");

    // First visible token, how many from there on, and how many last ones.
    private (int First, int Sinks, int Window) Parts(int position)
    {
        int first = Shape.FirstVisible(position), visible = position + 1 - first, budget = Settings.Rule.Budget(visible);
        // with nothing dropped there is no gap to close
        int sinks = budget == visible ? 0 : Math.Min(Settings.Rule.Sinks, budget - 1);
        return (first, sinks, budget - sinks);
    }

    private void Divide(StepBatch batch)
    {
        int sets = batch.Rows * Shape.KvHeads, capacity = Sets.Capacity;
        int[] all = new int[sets * capacity], far = new int[sets * capacity], near = new int[sets * capacity], counts = new int[sets], farCounts = new int[sets], nearCounts = new int[sets];
        for (int set = 0; set < sets; set++)
        {
            int position = batch.HostPositions[set / Shape.KvHeads];
            var (first, sinks, window) = Parts(position);
            for (int i = 0; i < sinks; i++) all[set * capacity + i] = far[set * capacity + i] = first + i;
            for (int i = 0; i < window; i++) all[set * capacity + sinks + i] = near[set * capacity + i] = position + 1 - window + i;
            (counts[set], farCounts[set], nearCounts[set]) = (sinks + window, sinks, window);
        }
        foreach (var (target, indices, count) in new[] { (Sets, all, counts), (_sinks, far, farCounts), (_window, near, nearCounts) })
        {
            ((DeviceSpan)target.Indices).Upload<int>(indices);
            ((DeviceSpan)target.Counts).Upload<int>(count);
        }
    }

    // A query as it is this many positions earlier.
    private void TurnBack(Span<float> q, int positions)
    {
        int half = q.Length / 2;
        for (int i = 0; i < half; i++)
        {
            var (sine, cosine) = Math.SinCos(-(double)positions * _frequencies[i]);
            int a = Config.RopeStyle == RopeStyle.HalfSplit ? i : 2 * i, b = Config.RopeStyle == RopeStyle.HalfSplit ? i + half : 2 * i + 1;
            (q[a], q[b]) = ((float)(q[a] * cosine - q[b] * sine), (float)(q[a] * sine + q[b] * cosine));
        }
    }

    private float LogSumExp(int layer, int head, ReadOnlySpan<int> blocks, int first, int count, ReadOnlySpan<float> q)
    {
        var logits = new float[count];
        for (int i = 0; i < count; i++) logits[i] = Shape.Scale * HostProduct.Of(q, Key(layer, head / Shape.GroupSize, Slot(blocks, first + i)));
        return HostProduct.Softmax(logits);
    }

    private Span<float> Key(int layer, int kvHead, int slot) => _keys[layer].AsSpan((slot * Shape.KvHeads + kvHead) * Shape.HeadDim, Shape.HeadDim);

    public override long BytesRead(int position) => Settings.Rule.Budget(position + 1 - Shape.FirstVisible(position)) * KvCache.BytesPerToken(Config, Cache.Format);

    public override void Dispose()
    {
        _sinks.Dispose();
        _window.Dispose();
        _turned.Dispose();
        _other.Dispose();
        base.Dispose();
    }
}
