using IlgpuSparse.Attention;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Offload;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cache;

/// <summary>
/// A cache whose K and V lie in pinned host memory that a GPU reads and writes in place. On the device stay the first block of a sequence, its last tokens, labels, scales of Int8 rows, room for what a step selects, and room for one layer
/// as a whole, which prompts are computed in. A step gathers the selected rows over the bus and computes just what it would with K and V on the device, to the bit.
/// </summary>
public sealed class HostKvCache : KvCache
{
    /// <summary>Last tokens of a sequence that stay on the device, at least.</summary>
    public const int LeastWindow = 128;

    private readonly KvOffload? _offload;
    private bool _forgotten;

    /// <summary>Makes room for <see cref="DecoderOptions.Capacity"/> tokens (rounded up to whole blocks) of what <paramref name="options"/> describe.</summary>
    /// <exception cref="NotSupportedException">The backend has no memory of its own, cannot reach the host's, or cannot copy rows of this size.</exception>
    /// <exception cref="InsufficientMemoryException">Host or device have not that much; the message names the knob.</exception>
    public HostKvCache(ComputeBackend backend, LlamaConfig config, DecoderOptions options)
        : base(backend, config, Checked(backend, config, options).KvFormat, options.Capacity, ((GpuBackend)backend).AllocateHost)
    {
        try
        {
            _offload = new KvOffload((GpuBackend)backend, Sizes(config, options));
            Equip((layer, index) => layer with { Offload = _offload.CreateLayer(index) });
            _offload.Stage(Layers);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What steps have read so far; waits for the device.</summary>
    public OffloadCounts Counts() => _offload!.Counts();

    /// <summary>
    /// Hot rows a layer and kv head (<see cref="DecoderOptions.HotTokens"/>) with which what lies on the device of K, V and what the policy keeps is <paramref name="share"/> of K and V as a whole, or as near below as it goes.
    /// </summary>
    public static int HotTokensWithin(double share, LlamaConfig config, DecoderOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options = options with { HotTokens = 0 };
        double room = share * PlannedBytes(config, options.KvFormat, options.Capacity) - PlannedDeviceBytes(config, options) - options.Attention.PlannedBytes(config, options);
        long bucket = (long)config.Layers * config.KvHeads * HotRows.PlannedBytes(options.KvFormat, config.HeadDim, 1);
        // never more than there are tokens
        return (int)Math.Clamp(room / bucket * HotRows.Ways, 0, options.Capacity) / HotRows.Ways * HotRows.Ways;
    }

    /// <summary>Bytes of pinned host memory.</summary>
    public static long PlannedHostBytes(LlamaConfig config, DecoderOptions options)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(options);
        return (long)BlocksFor(options.Capacity) * KvLayer.BlockTokens * config.Layers * config.KvHeads * 2 * config.HeadDim * options.KvFormat.ElementBytes();
    }

    /// <summary>Bytes of device memory.</summary>
    public static long PlannedDeviceBytes(LlamaConfig config, DecoderOptions options)
    {
        var sizes = Sizes(config, options);
        var (sets, capacity) = options.Attention.Selection(config, sizes.Blocks * KvLayer.BlockTokens);
        return sizes.PlannedBytes + (sets > 0 ? FetchedRows.PlannedBytes(sizes.Format, sizes.KvHeads, sizes.HeadDim, sizes.Sequences, sets, capacity) : 0) + (sizes.Predicts ? RowsAhead.PlannedBytes(sizes, sets, capacity) : 0);
    }

    /// <summary>The rows that selected attention read last; null before it read any.</summary>
    internal FetchedRows? Fetched => _offload!.Selected.Last;

    /// <summary>Makes room for what <paramref name="sets"/> select.</summary>
    internal void Reserve(TokenSets sets) => _offload!.Selected.Reserve(sets);

    internal override void Prepare(StepBatch batch)
    {
        if (_forgotten)
        {
            _forgotten = false;
            foreach (var layer in Layers) layer.Offload!.Hot?.Forget();
        }
        _offload!.Prepare(batch, Layers);
    }

    internal override void Return(int block)
    {
        if (!IsShared(block)) _offload?.Release(block);
        base.Return(block);
    }

    internal override int[] Layout(StepBatch batch) => _offload!.BringsLayers ? LayerStage.Layout(batch) : [];

    // rows that are appended anew lie where others did, which hot rows may still hold
    internal override void Forget() => _forgotten = true;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _offload?.Dispose(); // waits for the device
        foreach (var layer in Layers) layer.Offload?.Dispose();
        base.Dispose(disposing);
    }

    private static DecoderOptions Checked(ComputeBackend backend, LlamaConfig config, DecoderOptions options)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(options);
        if (backend is not GpuBackend gpu) throw new NotSupportedException($"the {backend.Name} backend computes in host memory as it is: K and V cannot be kept apart from it (--kv host is for GPUs)");
        if (!gpu.ReachesHost) throw new NotSupportedException($"the {backend.Name} backend cannot read host memory in place: --kv host needs CUDA");
        int row = config.HeadDim * options.KvFormat.ElementBytes();
        if (row % GpuBuffer.Alignment != 0) throw new NotSupportedException($"a row of K has {row} bytes; --kv host needs a multiple of {GpuBuffer.Alignment}");
        long needed = PlannedHostBytes(config, options), there = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (needed > there)
            throw new InsufficientMemoryException($"K and V of {options.Capacity:N0} tokens need {needed:N0} bytes of host memory, this machine has {there:N0}: ask for a shorter context (--context) or a smaller format (--kv-type)");
        return options;
    }

    private static OffloadSizes Sizes(LlamaConfig config, DecoderOptions options) => new(options.KvFormat, config.Layers, config.KvHeads, config.HeadDim, BlocksFor(options.Capacity), options.MaxSequences,
        Math.Max(LeastWindow, options.Attention.Rule.Recent), options.Attention.Kind == AttentionKind.Dense ? 2 : 1, HotRows.BucketsFor(options.HotTokens),
        Predicts(options));

    // the oracle's labels are Double Sparsity's, too
    private static bool Predicts(DecoderOptions options) => options.KvPrediction != KvPrediction.Off && options.Attention.Kind is (AttentionKind.DoubleSparsity or AttentionKind.Oracle);
}
