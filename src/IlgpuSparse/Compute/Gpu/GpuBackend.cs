using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// The operations as kernels that ILGPU compiles from C#: for CUDA, with portable forms for OpenCL and for ILGPU's CPU accelerator. Weights are copied to the device as they are stored.
/// </summary>
public sealed class GpuBackend : ComputeBackend
{
    private readonly GpuDevice _device;
    private readonly bool _leaveOpen;
    private readonly WeightLoader _weights;
    private readonly GpuEmbedding _embedding;
    private readonly GpuRmsNorm _norm;
    private readonly GpuProducts _products;
    private readonly GpuRope _rope;
    private readonly GpuSwiGlu _swiGlu;
    private readonly GpuExperts _experts;
    private readonly GpuAttention _attention;
    private readonly GpuLabels _labels;
    private readonly GpuProjectHeads _projectHeads;
    private readonly GpuScore _score;
    private readonly GpuSelect _select;
    private readonly GpuSample _sample;
    private readonly GpuPositions _positions;
    private readonly GpuMeanValue _meanValue;
    private readonly GpuChannelSums _channelSums;
    private bool _disposed;

    private GpuBackend(GpuDevice device, bool leaveOpen, bool tensorCores, ProductPrecision precision)
    {
        _device = device;
        _leaveOpen = leaveOpen;
        _weights = new WeightLoader(device, Memory);
        _embedding = new GpuEmbedding(device);
        _norm = new GpuRmsNorm(device);
        _products = new GpuProducts(device, Memory, tensorCores, precision);
        _rope = new GpuRope(device);
        _swiGlu = new GpuSwiGlu(device);
        _experts = new GpuExperts(device, _products.MatMul, _products.Linear, _swiGlu, Memory);
        _attention = new GpuAttention(device, Memory, tensorCores, precision, _products.Linear.Chain);
        _labels = new GpuLabels(device);
        _projectHeads = new GpuProjectHeads(device);
        _score = new GpuScore(device);
        _select = new GpuSelect(device, _score, Memory);
        ResidentStep = new GpuResidentStep(device, tensorCores, _products.Linear.Chain, _select, _attention.Decode);
        Fused = new GpuFusedStep(device, tensorCores, _products.Linear.Chain, ResidentStep);
        _sample = new GpuSample(device, Memory);
        _positions = new GpuPositions(device);
        _meanValue = new GpuMeanValue(device);
        _channelSums = new GpuChannelSums(device);
    }

    /// <inheritdoc/>
    public override string Name => _device.Kind switch
    {
        GpuKind.Cuda => "cuda",
        GpuKind.OpenCl => "opencl",
        _ => "ilgpu-cpu",
    };

    /// <inheritdoc/>
    public override string Description => $"{_device.Report.Name}, {_device.Report.Detail}";

    /// <inheritdoc/>
    public override double PreparationSeconds => _device.PreparationSeconds;

    /// <summary>The device.</summary>
    public GpuDevice Device => _device;

    /// <summary>Products of few rows.</summary>
    internal GpuLinear Linear => _products.Linear;

    /// <summary>Launch choices of dense decode.</summary>
    internal DecodeTuning DenseTuning { get => _attention.Decode.DenseTuning; set => _attention.Decode.DenseTuning = value; }

    /// <summary>Launch choices of decode over selected tokens.</summary>
    internal DecodeTuning SelectedTuning { get => _attention.Decode.SelectedTuning; set => _attention.Decode.SelectedTuning = value; }

    /// <summary>Sparse steps as one kernel.</summary>
    internal GpuFusedStep Fused { get; }

    /// <summary>Sparse steps as one kernel whose groups run at once.</summary>
    internal GpuResidentStep ResidentStep { get; }

    /// <summary>Scores and sets in one kernel whose groups run at once.</summary>
    internal GpuResidentScore Resident => _select.Resident;

    /// <summary>Longest context whose sets are selected behind their scores, by one group each.</summary>
    internal int OneGroupTokens { get => _select.OneGroupTokens; set => _select.OneGroupTokens = value; }

    /// <summary>Products of many rows, where the device has tensor cores; null otherwise.</summary>
    internal GpuTensorMatMul? TensorMatMul => _products.Tensor;

    /// <summary>Attention of prefill chunks.</summary>
    internal GpuPrefillAttention PrefillAttention => _attention.Prefill;

    private AcceleratorStream Stream => _device.Stream;

    /// <summary>
    /// Computes on <paramref name="device"/>, which is disposed with the backend unless <paramref name="leaveOpen"/>. <paramref name="precision"/> matters on tensor cores alone.
    /// </summary>
    public static GpuBackend Create(GpuDevice device, bool leaveOpen = false, ProductPrecision precision = ProductPrecision.Single)
    {
        ArgumentNullException.ThrowIfNull(device);
        return new GpuBackend(device, leaveOpen, GpuDecodeAttention.HasTensorCores(device), precision);
    }

    /// <summary>Runs the tensor-core kernels on ILGPU's CPU accelerator, which emulates their instructions: to check them without a GPU.</summary>
    internal static GpuBackend CreateEmulatingTensorCores(GpuDevice device, ProductPrecision precision = ProductPrecision.Single) => new(device, leaveOpen: true, tensorCores: true, precision);

    /// <inheritdoc/>
    public override bool Supports(KvFormat format) => format is KvFormat.F32 or KvFormat.F16 or KvFormat.BF16 or KvFormat.Int8;

    /// <inheritdoc/>
    public override DeviceBuffer Allocate(long bytes, string purpose) => new GpuBuffer(_device, bytes, purpose, Memory, arena: _weights.Arena);

    /// <inheritdoc/>
    internal override IDisposable? ReserveWeights(IEnumerable<long> sizes) => _weights.Reserve(sizes);

    /// <summary>Whether kernels can read and write host memory in place.</summary>
    internal bool ReachesHost => _device.Kind != GpuKind.OpenCl;

    /// <summary>Allocates pinned host memory for K and V that kernels use in place.</summary>
    /// <exception cref="InsufficientMemoryException">The host has not that much.</exception>
    internal DeviceBuffer AllocateHost(long bytes) => new GpuBuffer(_device, bytes, "kv", HostMemory, onHost: true);

    /// <inheritdoc/>
    /// <exception cref="ModelFormatException">The matrix has more rows than a kernel can count, or rows that are not whole groups of four numbers.</exception>
    public override WeightMatrix Load(ModelTensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        return _weights.Load(tensor);
    }

    /// <inheritdoc/>
    /// <remarks>On tensor cores large enough that tiles fill the device evenly, but with activations of no more than a gigabyte.</remarks>
    public override int PrefillChunk(LlamaConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return _products.PrefillChunk(config, base.PrefillChunk(config));
    }

    /// <inheritdoc/>
    public override long WorkingBytes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => _products.WorkingBytes(config, formats, rows);

    /// <inheritdoc/>
    public override void ReserveWorkingMemory(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => _products.Reserve(config, formats, rows);

    /// <inheritdoc/>
    public override void Synchronize() => _device.Synchronize();

    internal override void Settle() => _device.Settle();

    /// <inheritdoc/>
    public override void Embed(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x) => _embedding.Run(table, ids, rows, x, Stream);

    /// <inheritdoc/>
    public override void RmsNorm(DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y) => _norm.Run(x, weight, epsilon, rows, y, Stream);

    /// <inheritdoc/>
    public override void MatMul(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias = null, bool accumulate = false) => _products.Run(weight, x, rows, y, bias, accumulate, Stream);

    /// <inheritdoc/>
    public override void NormMatMul(WeightMatrix weight, NormedInput input, int rows, DeviceSpan y, WeightMatrix? bias = null)
    {
        if (!_products.TryNormed(weight, input, rows, y, bias, Stream)) base.NormMatMul(weight, input, rows, y, bias);
    }

    /// <inheritdoc/>
    public override void Qkv(QkvWeights weights, NormedInput input, RopeTable rope, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan k, DeviceSpan v)
    {
        if (cache.Offload is { } offload)
        {
            Qkv(weights, input, rope, shape, offload.Owner.Target(cache, batch), batch, q, k, v);
            offload.Owner.Store(cache, batch);
            return;
        }
        if (_products.TryRotatedQkv(weights, input, rope, shape, cache, batch, q, k, v, Stream, out bool appended))
        {
            if (!appended) AppendKv(shape, cache, batch, k, v);
            return;
        }
        if (!_products.TryQkv(weights, input, batch.Rows, q, k, v, Stream))
        {
            base.Qkv(weights, input, rope, shape, cache, batch, q, k, v);
            return;
        }
        Rope(rope, batch, shape.Heads, q);
        Rope(rope, batch, shape.KvHeads, k);
        AppendKv(shape, cache, batch, k, v);
    }

    /// <inheritdoc/>
    public override void GateUp(GateUpWeights weights, NormedInput input, int rows, DeviceSpan gate, DeviceSpan up)
    {
        if (!_products.TryGateUp(weights, input, rows, gate, Stream)) base.GateUp(weights, input, rows, gate, up);
    }

    /// <inheritdoc/>
    public override void Rope(RopeTable table, StepBatch batch, int heads, DeviceSpan x) => _rope.Run(table, batch, heads, x, Stream);

    /// <inheritdoc/>
    public override void SwiGlu(DeviceSpan gate, DeviceSpan up, long count) => _swiGlu.Run(gate, up, count, Stream);

    /// <inheritdoc/>
    public override void ExpertMlp(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y) => _experts.Run(experts, x, rows, router, y, Stream);

    /// <inheritdoc/>
    public override void AppendKv(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v) => _attention.Append(shape, cache, batch, k, v, Stream);

    /// <inheritdoc/>
    public override void AppendLabels(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => _labels.Append(shape, labels, batch, k, Stream);

    /// <inheritdoc/>
    public override void ProjectHeads(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => _projectHeads.Run(projection, heads, x, rows, y, Stream);

    /// <inheritdoc/>
    public override void Attend(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y) => _attention.Dense(shape, cache, batch, q, y, Stream);

    /// <inheritdoc/>
    public override void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores) =>
        _score.Run(shape, labels, batch, q, reduction, scores, Stream);

    /// <inheritdoc/>
    public override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) => _select.Run(shape, rule, batch, scores, sets, Stream);

    /// <inheritdoc/>
    public override void ScoreAndSelect(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, SelectionRule rule, TokenScores scores, TokenSets sets) =>
        _select.ScoreAndSelect(new LabelChoice(shape, labels, q, reduction, rule, scores, sets), default, batch, alone: false, Stream);

    /// <inheritdoc/>
    public override void AttendSelected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y) => _attention.Selected(shape, cache, batch, q, sets, y, Stream);

    internal override void AppendAndAttend(AttentionShape shape, KvLayer cache, StepBatch batch, OwnRows own, DeviceSpan q, DeviceSpan y) => _attention.Dense(shape, cache, batch, own, q, y, Stream);

    internal override void AttendByLabels(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, LabelChoice choice, DeviceSpan y, OwnRows? own = null)
    {
        // a score that somebody reads is of a label that is whole
        if (choice.KeepsScores) AppendMissing(batch, ref choice);
        if (!AttentionLaunch.CanWriteOwn(shape, cache, batch)) AppendMissing(shape, cache, batch, ref own);
        if (Fused.TryRun(shape, cache, batch, q, choice, own, y, Stream)) return;
        if (Fused.Steps != FusedSteps.Off && ResidentStep.TryRun(shape, cache, batch, q, choice, own, y, Stream)) return;
        if (!_select.Appends(choice, batch))
        {
            AppendMissing(shape, cache, batch, ref own);
            AppendMissing(batch, ref choice);
        }
        _select.ScoreAndSelect(choice, AttentionLaunch.View(own, shape, cache, batch), batch, alone: cache.Offload is null, Stream);
        AttendSelected(shape, cache, batch, q, choice.Sets, y);
    }

    internal override void Prefetch(KvLayer cache, StepBatch batch, TokenSets sets) => cache.Offload?.Owner.Selected.Prefetch(cache, batch, sets);

    internal override void DropMissing(KvLayer cache, StepBatch batch, TokenSets sets, TokenScores scores, SelectionRule rule, float least) => cache.Offload?.Owner.Selected.Drop(cache, batch, sets, scores, rule, least);

    /// <inheritdoc/>
    public override void Sample(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids)
    {
        options.ValidateWithoutText();
        _sample.Run(logits, rows, vocabulary, options, draws, ids, Stream);
    }

    /// <inheritdoc/>
    public override bool Records => _device.IsCuda;

    /// <inheritdoc/>
    public override RecordedWork Record(Action work) => new CudaGraph(_device, work);

    /// <inheritdoc/>
    public override void AdvancePositions(StepBatch batch) => _positions.Advance(batch, Stream);

    /// <inheritdoc/>
    protected override void KeepAndAdvance(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots) => _positions.FeedBack(batch, ids, history, slots, Stream);

    /// <inheritdoc/>
    public override DeferredDownload CreateDownload(DeviceBuffer source) => _device.IsCuda ? new PinnedDownload(_device, source) : base.CreateDownload(source);

    /// <inheritdoc/>
    public override void AppendValueSums(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch) => _meanValue.Append(shape, cache, sums, batch, Stream);

    /// <inheritdoc/>
    public override void BlendMeanValue(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y) =>
        _meanValue.Blend(shape, cache, sums, batch, sets, y, Stream);

    internal override bool TrySumChannels(AttentionShape shape, int rows, DeviceSpan q, DeviceSpan k, DeviceSpan parts, int partRows, int before)
    {
        _channelSums.Run(shape, rows, q, k, parts, partRows, before, Stream);
        return true;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _device.Settle();
        _experts.Dispose();
        _products.Dispose();
        _attention.Dispose();
        _sample.Dispose();
        if (!_leaveOpen) _device.Dispose();
    }
}
