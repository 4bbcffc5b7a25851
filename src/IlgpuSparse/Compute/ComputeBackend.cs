using System.Numerics;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute;

/// <summary>
/// The seam between the decoder and the machine: memory, and the operations that a Llama decoder with sparse attention is made of. Everything above it is
/// written once. Activations are fp32 matrices <c>[row, width]</c>, row-major, one row a token of the <see cref="StepBatch"/>. Operations may be asynchronous and run in the order
/// of the calls; <see cref="DeviceBuffer.Download"/> and <see cref="Synchronize"/> wait. A backend is used by one thread at a time.
/// </summary>
public abstract class ComputeBackend : IDisposable
{
    /// <summary>Short name: cpu, cuda, opencl.</summary>
    public abstract string Name { get; }

    /// <summary>The device in words: processor and vector width, or GPU and driver.</summary>
    public abstract string Description { get; }

    /// <summary>What is allocated.</summary>
    public MemoryLedger Memory { get; } = new();

    /// <summary>Seconds that went into compiling and loading kernels and into recordings so far; 0 where nothing has to be prepared.</summary>
    public virtual double PreparationSeconds => 0;

    /// <summary>What is allocated of host memory for K and V that a GPU reaches (<see cref="Cache.HostKvCache"/>); not part of <see cref="Memory"/>.</summary>
    public MemoryLedger HostMemory { get; } = new();

    /// <summary>Whether K and V can be stored as <paramref name="format"/>.</summary>
    public abstract bool Supports(KvFormat format);

    /// <summary>Allocates <paramref name="bytes"/> (64-byte aligned), accounted under <paramref name="purpose"/>.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public abstract DeviceBuffer Allocate(long bytes, string purpose);

    /// <summary>Makes a weight tensor usable: in place on the CPU, copied to the device on a GPU.</summary>
    public abstract WeightMatrix Load(ModelTensor tensor);

    /// <summary>Room for weights of <paramref name="sizes"/> bytes, the next ones to be loaded or allocated, until the result is disposed; null where each has memory of its own.</summary>
    internal virtual IDisposable? ReserveWeights(IEnumerable<long> sizes) => null;

    /// <summary>Tokens of a prefill chunk that use the device well, in bounded memory, for a model of these sizes.</summary>
    public virtual int PrefillChunk(LlamaConfig config) => 512;

    /// <summary>
    /// Bytes that this backend allocates itself, under "scratch", for passes of up to <paramref name="rows"/> tokens through a decoder of <paramref name="config"/> with matrices in
    /// <paramref name="formats"/>.
    /// </summary>
    public virtual long WorkingBytes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => 0;

    /// <summary>Allocates <see cref="WorkingBytes"/>, so that no pass has to.</summary>
    /// <exception cref="InsufficientMemoryException">The device has not that much.</exception>
    public virtual void ReserveWorkingMemory(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) { }

    /// <summary>Waits until everything asked for is done.</summary>
    public abstract void Synchronize();

    /// <summary>Waits as <see cref="Synchronize"/> does, before something is disposed: without complaint where the device has failed.</summary>
    internal virtual void Settle() => Synchronize();

    /// <summary>x[row] = table[ids[row]]; <paramref name="ids"/> int32 <c>[rows]</c>, <paramref name="x"/> <c>[rows, hidden]</c>.</summary>
    public abstract void Embed(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x);

    /// <summary>y = x / sqrt(mean(x²) + ε) · weight, for each of <paramref name="rows"/> rows ; <paramref name="weight"/> is a matrix of one row in a plain format, as wide as x.</summary>
    public abstract void RmsNorm(DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y);

    /// <summary>y (+)= x · Wᵀ + bias: <paramref name="x"/> <c>[rows, W.Columns]</c>, <paramref name="y"/> <c>[rows, W.Rows]</c>; with <paramref name="accumulate"/> the product is added to y.</summary>
    public abstract void MatMul(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias = null, bool accumulate = false);

    /// <summary>Rotates <paramref name="x"/> <c>[row, head, headDim]</c> in place by each row's position.</summary>
    public abstract void Rope(RopeTable table, StepBatch batch, int heads, DeviceSpan x);

    /// <summary>gate = silu(gate) · up, over <paramref name="count"/> numbers.</summary>
    public abstract void SwiGlu(DeviceSpan gate, DeviceSpan up, long count);

    /// <summary>
    /// y += Σ over the active experts e of p_e · down_e(silu(gate_e x) · up_e x), with p the softmax over all <paramref name="router"/> logits <c>[rows, experts]</c>, its largest
    /// <see cref="ExpertWeights.Active"/> renormalised to one (Mixtral).
    /// </summary>
    public abstract void ExpertMlp(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y);

    /// <summary>Writes <paramref name="k"/> and <paramref name="v"/> <c>[row, kvHead, headDim]</c> into the cache at each row's position, converted to its format.</summary>
    public abstract void AppendKv(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v);

    /// <summary>Writes the labels of <paramref name="k"/> <c>[row, kvHead, headDim]</c> (fp32, after RoPE) at each row's position.</summary>
    public abstract void AppendLabels(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k);

    /// <summary>
    /// y[row, head] = x[row, head] · <paramref name="projection"/>'s matrix of the head's kv head: <paramref name="x"/> <c>[row, head, Inputs]</c>, <paramref name="y"/> <c>[row, head, Outputs]</c>, where
    /// <paramref name="heads"/> is a multiple of the kv heads.
    /// </summary>
    public abstract void ProjectHeads(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y);

    /// <summary>
    /// Dense causal attention: y[row, head] = softmax(q·Kᵀ/√d)·V over the tokens <c>FirstVisible(position) .. position</c> of the row's sequence.
    /// <paramref name="q"/> and <paramref name="y"/> are <c>[row, head, headDim]</c>. The row's own K and V must have been appended.
    /// </summary>
    public abstract void Attend(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y);

    /// <summary>
    /// Approximate logits of every visible token: label product of <paramref name="q"/> <c>[row, head, headDim]</c> times 1/√d. With <c>scores.Sets == KvHeads</c> a group's
    /// heads are reduced by <paramref name="reduction"/>; with <c>scores.Sets == Heads</c> every head keeps its own. Decode batches only.
    /// </summary>
    public abstract void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores);

    /// <summary>
    /// Exact top-k of each set: the forced tokens of <paramref name="rule"/>, then the highest scores, lower positions first among equals, until
    /// <see cref="SelectionRule.Budget"/> of the visible tokens are in, or <see cref="SelectionRule.Least"/> that hold <see cref="SelectionRule.TopP"/> of the estimated mass.
    /// Their order depends on the scores alone, and is mostly ascending. Counts stay on the device.
    /// </summary>
    public abstract void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets);

    /// <summary>
    /// <see cref="Score"/> followed by <see cref="Select"/>, which a backend may do in one go: what a decode step should call. Afterwards the sets are those of the two calls; the
    /// scores are left in <paramref name="scores"/>.
    /// </summary>
    public virtual void ScoreAndSelect(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, SelectionRule rule, TokenScores scores, TokenSets sets)
    {
        Score(shape, labels, batch, q, reduction, scores);
        Select(shape, rule, batch, scores, sets);
    }

    /// <summary>As <see cref="Attend"/> over the tokens of <paramref name="sets"/> alone. Decode batches only.</summary>
    public abstract void AttendSelected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y);

    /// <summary><see cref="AppendKv"/> of <paramref name="own"/>, then <see cref="Attend"/>, which a backend may do in one go. Decode batches only.</summary>
    internal virtual void AppendAndAttend(AttentionShape shape, KvLayer cache, StepBatch batch, OwnRows own, DeviceSpan q, DeviceSpan y)
    {
        AppendKv(shape, cache, batch, own.K, own.V);
        Attend(shape, cache, batch, q, y);
    }

    /// <summary>
    /// <see cref="ScoreAndSelect"/> by <paramref name="choice"/>, then <see cref="AttendSelected"/> over its sets, which a backend may do in one go: afterwards the sets and <paramref name="y"/> are those of the two calls, and
    /// the scores where <see cref="LabelChoice.KeepsScores"/> asks for them. Rows of <paramref name="own"/> are not in the cache yet, and are afterwards.
    /// </summary>
    internal virtual void AttendByLabels(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, LabelChoice choice, DeviceSpan y, OwnRows? own = null)
    {
        AppendMissing(shape, cache, batch, ref own);
        AppendMissing(batch, ref choice);
        ScoreAndSelect(choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Rule, choice.Scores, choice.Sets);
        AttendSelected(shape, cache, batch, q, choice.Sets, y);
    }

    /// <summary>Makes the labels that <paramref name="choice"/> lacks.</summary>
    private protected void AppendMissing(StepBatch batch, ref LabelChoice choice)
    {
        if (choice.Keys is not { } keys) return;
        AppendLabels(choice.Shape, choice.Labels, batch, keys);
        choice = choice with { Keys = null };
    }

    /// <summary>Writes the rows of <paramref name="own"/> to the cache.</summary>
    private protected void AppendMissing(AttentionShape shape, KvLayer cache, StepBatch batch, ref OwnRows? own)
    {
        if (own is not { } rows) return;
        AppendKv(shape, cache, batch, rows.K, rows.V);
        own = null;
    }

    /// <summary>Begins to bring the rows of <paramref name="sets"/> for the next <see cref="AttendSelected"/> over <paramref name="cache"/>, where K and V lie in host memory.</summary>
    internal virtual void Prefetch(KvLayer cache, StepBatch batch, TokenSets sets) { }

    /// <summary>Drops rows of <paramref name="sets"/> that a <see cref="Prefetch"/> has missed and whose mass by <paramref name="scores"/> under <paramref name="rule"/> is less than <paramref name="least"/> of the average of their list; shares of the mass follow.</summary>
    internal virtual void DropMissing(KvLayer cache, StepBatch batch, TokenSets sets, TokenScores scores, SelectionRule rule, float least) { }

    /// <summary>As <see cref="MatMul"/> of normalised activations: y = norm(x) · Wᵀ + bias.</summary>
    public virtual void NormMatMul(WeightMatrix weight, NormedInput input, int rows, DeviceSpan y, WeightMatrix? bias = null)
    {
        RmsNorm(input.X, input.Norm, input.Epsilon, rows, input.Normed);
        MatMul(weight, input.Normed, rows, y, bias);
    }

    /// <summary>
    /// <paramref name="q"/>, <paramref name="k"/> and <paramref name="v"/> <c>[row, head, headDim]</c> of normalised activations, the first two rotated by <paramref name="rope"/>; keys and values
    /// are written to the cache as by <see cref="AppendKv"/>.
    /// </summary>
    public virtual void Qkv(QkvWeights weights, NormedInput input, RopeTable rope, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan k, DeviceSpan v)
    {
        ArgumentNullException.ThrowIfNull(batch);
        RmsNorm(input.X, input.Norm, input.Epsilon, batch.Rows, input.Normed);
        MatMul(weights.Q, input.Normed, batch.Rows, q, weights.QBias);
        MatMul(weights.K, input.Normed, batch.Rows, k, weights.KBias);
        MatMul(weights.V, input.Normed, batch.Rows, v, weights.VBias);
        Rope(rope, batch, shape.Heads, q);
        Rope(rope, batch, shape.KvHeads, k);
        AppendKv(shape, cache, batch, k, v);
    }

    /// <summary>gate = silu(norm(x) · Gateᵀ) · (norm(x) · Upᵀ) <c>[row, intermediate]</c>; <paramref name="up"/> is scratch of the same size.</summary>
    public virtual void GateUp(GateUpWeights weights, NormedInput input, int rows, DeviceSpan gate, DeviceSpan up)
    {
        RmsNorm(input.X, input.Norm, input.Epsilon, rows, input.Normed);
        MatMul(weights.Gate, input.Normed, rows, gate, weights.GateBias);
        MatMul(weights.Up, input.Normed, rows, up, weights.UpBias);
        SwiGlu(gate, up, (long)rows * weights.Gate.Rows);
    }

    /// <summary>
    /// Draws a token from each row of <paramref name="logits"/> <c>[rows, vocabulary]</c> into <paramref name="ids"/> (int32 <c>[rows]</c>), so that a next step can follow without the host; -1 where no logit
    /// is a finite number. Random numbers are counted: <paramref name="draws"/> (int32 <c>[rows]</c>) says how many a row has taken and is counted up. Row r draws as a <see cref="Sampler"/> with the seed
    /// + r · 0xD1342543DE82EF95 does, but for tokens whose probability is below 2^-40 of the most likely one's.
    /// </summary>
    /// <exception cref="ArgumentException">Options outside their ranges, or a repetition penalty.</exception>
    public abstract void Sample(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids);

    /// <summary>Whether <see cref="Record"/> saves anything here.</summary>
    public virtual bool Records => false;

    /// <summary>
    /// Records the operations that <paramref name="work"/> asks for, without doing them, so that they can be done again at the cost of one call. The same
    /// work must have been done once before (kernels are loaded and scratch memory is allocated then), it must not copy between host and device, and it is bound to the buffers it used.
    /// </summary>
    /// <exception cref="NotSupportedException"><see cref="Records"/> is false.</exception>
    public virtual RecordedWork Record(Action work) => throw new NotSupportedException($"the {Name} backend records no work");

    /// <summary>Adds one to each row's position of a decode step on the device, as the last operation of recorded work that is run for one token after another.</summary>
    public virtual void AdvancePositions(StepBatch batch) => throw new NotSupportedException($"the {Name} backend records no work");

    /// <summary>
    /// As <see cref="AdvancePositions"/>, after <see cref="Sample"/> has drawn <paramref name="ids"/> (int32 <c>[row]</c>): keeps them in <paramref name="history"/> (int32 <c>[row, slots]</c>) at slot
    /// <c>position mod slots</c>, so that several steps can follow one another before the host looks. -1 is kept as it is and becomes 0 in <paramref name="ids"/>. Every backend has it, recording or not.
    /// </summary>
    /// <exception cref="ArgumentException">Not a decode step, or <paramref name="slots"/> is no power of two.</exception>
    public void FeedBack(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots)
    {
        ArgumentNullException.ThrowIfNull(batch);
        if (batch.IsPrefill) throw new ArgumentException("only the positions of decode steps advance", nameof(batch));
        if (!BitOperations.IsPow2(slots)) throw new ArgumentException($"{slots} slots: a power of two is needed", nameof(slots));
        KeepAndAdvance(batch, ids, history, slots);
    }

    /// <summary>Does <see cref="FeedBack"/>, whose arguments have been checked.</summary>
    protected abstract void KeepAndAdvance(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots);

    /// <summary>A way to read <paramref name="source"/> (a few int32) while later operations go on.</summary>
    public virtual DeferredDownload CreateDownload(DeviceBuffer source) => new(source);

    /// <summary>Adds the batch's rows, just appended to <paramref name="cache"/>, to the sums of V.</summary>
    public abstract void AppendValueSums(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch);

    /// <summary>
    /// Mean-value correction (SparQ, arXiv 2312.04985): y = α·y + (1 − α)·v̄, with α the share of the mass that the head's set holds (<see cref="TokenSets.Shares"/>) and v̄ the mean of V over all visible tokens.
    /// <paramref name="y"/> <c>[row, head, headDim]</c> is what <see cref="AttendSelected"/> gave. Decode batches only.
    /// </summary>
    /// <exception cref="ArgumentException">The sets have no shares.</exception>
    public abstract void BlendMeanValue(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y);

    /// <summary>
    /// Sums queries <c>[row, head, headDim]</c> and keys <c>[row, kvHead, headDim]</c> by channel for <see cref="Calibration.ChannelStatistics"/>, into <paramref name="parts"/> <c>[part, sum, kvHead, headDim]</c> of <paramref name="partRows"/> rows each, the first of <paramref name="before"/> fewer; false where they
    /// lie on the host, which then sums them as they are.
    /// </summary>
    internal virtual bool TrySumChannels(AttentionShape shape, int rows, DeviceSpan q, DeviceSpan k, DeviceSpan parts, int partRows, int before) => false;

    /// <inheritdoc/>
    public abstract void Dispose();
}
