using System.Runtime.Intrinsics;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// The operations in managed, hand-vectorised code on all cores: what users without a GPU run. Weights are used in place in the mapped file, in its format.
/// </summary>
public sealed unsafe class CpuBackend : ComputeBackend
{
    private readonly WorkerPool _pool;
    private readonly CpuSample _sample = new();

    /// <summary>Starts <paramref name="threads"/> workers; 0 for one a core.</summary>
    public CpuBackend(int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        _pool = new WorkerPool(threads == 0 ? Environment.ProcessorCount : threads, Memory);
    }

    /// <inheritdoc/>
    public override string Name => "cpu";

    /// <inheritdoc/>
    public override string Description
    {
        get
        {
            int bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;
            return $"{_pool.Workers} threads, {bits}-bit vectors";
        }
    }

    /// <summary>Widest vectors that attention and selection use: for tests of the narrower ones.</summary>
    internal int VectorBits { get; init; } = 512;

    /// <summary>Whether decode attention may unpack halves to subnormal singles: for tests of both ways.</summary>
    internal bool ShiftHalves { get; init; } = Subnormals.AreFree;

    /// <summary>The threads, for benchmarks of single kernels.</summary>
    internal WorkerPool Pool => _pool;

    /// <inheritdoc/>
    public override bool Supports(KvFormat format) => Enum.IsDefined(format);

    /// <inheritdoc/>
    public override DeviceBuffer Allocate(long bytes, string purpose) => new CpuBuffer(bytes, purpose, Memory);

    /// <inheritdoc/>
    public override WeightMatrix Load(ModelTensor tensor) => new(tensor.Name, tensor.Format, checked((int)tensor.Rows), checked((int)tensor.Columns),
        new CpuBuffer(tensor.Data, tensor.ByteLength));

    /// <inheritdoc/>
    public override void Synchronize() { }

    /// <inheritdoc/>
    public override void Embed(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x) => CpuEmbedding.Run(table, ids, rows, x);

    /// <inheritdoc/>
    public override void RmsNorm(DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y) => CpuRmsNorm.Run(_pool, x, weight, epsilon, rows, y);

    /// <inheritdoc/>
    public override void MatMul(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias = null, bool accumulate = false) =>
        CpuMatMul.Run(_pool, weight, x, rows, y, bias, accumulate);

    /// <inheritdoc/>
    public override void Rope(RopeTable table, StepBatch batch, int heads, DeviceSpan x) => CpuRope.Run(_pool, table, batch, heads, x);

    /// <inheritdoc/>
    public override void SwiGlu(DeviceSpan gate, DeviceSpan up, long count) => CpuSwiGlu.Run(_pool, CpuBuffer.Pointer<float>(gate), CpuBuffer.Pointer<float>(up), count);

    /// <inheritdoc/>
    public override void ExpertMlp(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y) => CpuExperts.Run(_pool, experts, x, rows, router, y);

    /// <inheritdoc/>
    public override void AppendKv(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v) => CpuAppend.Run(_pool, shape, cache, batch, k, v);

    /// <inheritdoc/>
    public override void AppendLabels(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => CpuLabels.Append(_pool, shape, labels, batch, k);

    /// <inheritdoc/>
    public override void ProjectHeads(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => CpuProjectHeads.Run(_pool, projection, heads, x, rows, y);

    /// <inheritdoc/>
    public override void Attend(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (batch.IsPrefill && batch.Rows > 1) CpuPrefillAttention.Run(_pool, shape, cache, batch, q, y, VectorBits, ShiftHalves);
        else CpuDecodeAttention.Dense(_pool, shape, cache, batch, q, y, VectorBits, ShiftHalves);
    }

    /// <inheritdoc/>
    public override void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores) =>
        CpuScore.Run(_pool, shape, labels, batch, q, reduction, scores);

    /// <inheritdoc/>
    public override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) =>
        CpuSelect.Run(_pool, shape, rule, batch, scores, sets, VectorBits);

    /// <inheritdoc/>
    public override void ScoreAndSelect(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, SelectionRule rule, TokenScores scores, TokenSets sets) =>
        CpuScore.Run(_pool, shape, labels, batch, q, reduction, scores, new SelectJob(_pool.Scratch, shape, rule, batch, scores, sets, VectorBits));

    /// <inheritdoc/>
    public override void AttendSelected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y) =>
        CpuDecodeAttention.Selected(_pool, shape, cache, batch, q, sets, y, VectorBits, ShiftHalves);

    internal override void AttendByLabels(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, LabelChoice choice, DeviceSpan y, OwnRows? own = null)
    {
        AppendMissing(shape, cache, batch, ref own);
        AppendMissing(batch, ref choice);
        if (choice.KeepsScores || !CpuScore.IsWhole(_pool, shape, batch)) base.AttendByLabels(shape, cache, batch, q, choice, y);
        else CpuDecodeAttention.Selected(_pool, shape, cache, batch, q, choice.Sets, y, VectorBits, ShiftHalves, choice);
    }

    /// <inheritdoc/>
    public override void AppendValueSums(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch) => CpuMeanValue.Append(_pool, shape, cache, sums, batch);

    /// <inheritdoc/>
    public override void BlendMeanValue(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y) =>
        CpuMeanValue.Blend(_pool, shape, cache, sums, batch, sets, y);

    /// <inheritdoc/>
    public override void Sample(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids)
    {
        options.ValidateWithoutText();
        _sample.Run(logits, rows, vocabulary, options, draws, ids);
    }

    /// <inheritdoc/>
    protected override void KeepAndAdvance(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots) => CpuPositions.FeedBack(batch, ids, history, slots);

    /// <inheritdoc/>
    public override void Dispose() => _pool.Dispose();
}
