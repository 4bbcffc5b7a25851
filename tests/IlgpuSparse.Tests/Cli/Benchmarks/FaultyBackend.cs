using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

/// <summary>The CPU's operations with one fault in the attention of decode steps, or in products.</summary>
/// <param name="fault">
/// output: one number is wrong; nothing: nothing is written; append: decode steps do not append; set, count: the selection; labels: scores have nothing to do with the keys; later: right for the
/// first time only; replay: recorded work does nothing.
/// </param>
internal sealed class FaultyBackend(string fault) : ComputeBackend
{
    private readonly CpuBackend _backend = new(1);
    private int _steps;

    public override string Name => "faulty";

    public override string Description => fault;

    public override bool Supports(KvFormat format) => _backend.Supports(format);

    public override DeviceBuffer Allocate(long bytes, string purpose) => _backend.Allocate(bytes, purpose);

    public override WeightMatrix Load(ModelTensor tensor) => throw new NotSupportedException();

    public override void Synchronize() => _backend.Synchronize();

    public override void Embed(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x) => _backend.Embed(table, ids, rows, x);

    public override void RmsNorm(DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y) => _backend.RmsNorm(x, weight, epsilon, rows, y);

    public override void MatMul(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias = null, bool accumulate = false)
    {
        _steps++;
        if (fault == "nothing") return;
        _backend.MatMul(weight, x, rows, y, bias, accumulate);
        if (fault == "output" || (fault == "later" && _steps > 1)) y.Upload<float>([1e3f]);
    }

    public override void Rope(RopeTable table, StepBatch batch, int heads, DeviceSpan x) => _backend.Rope(table, batch, heads, x);

    public override void SwiGlu(DeviceSpan gate, DeviceSpan up, long count) => _backend.SwiGlu(gate, up, count);

    public override void Sample(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids) => throw new NotSupportedException();

    public override void ExpertMlp(ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y) => _backend.ExpertMlp(experts, x, rows, router, y);

    public override void AppendKv(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v)
    {
        if (fault != "append" || batch.IsPrefill) _backend.AppendKv(shape, cache, batch, k, v);
    }

    public override void ProjectHeads(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => _backend.ProjectHeads(projection, heads, x, rows, y);

    public override void AppendLabels(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => _backend.AppendLabels(shape, labels, batch, k);

    public override void Attend(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        if (fault != "nothing") _backend.Attend(shape, cache, batch, q, y);
        Spoil(shape, batch, y);
    }

    public override void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores)
    {
        _backend.Score(shape, labels, batch, q, reduction, scores);
        if (fault != "labels") return;
        var random = new Random(1);
        float[] values = [.. Enumerable.Range(0, (int)(scores.Buffer.ByteLength / sizeof(float))).Select(_ => random.NextSingle())];
        ((DeviceSpan)scores.Buffer).Upload<float>(values);
    }

    public override void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets)
    {
        _backend.Select(shape, rule, batch, scores, sets);
        int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(sets.Sets * batch.Rows), indices = ((DeviceSpan)sets.Indices).ToArray<int>(sets.Sets * batch.Rows * sets.Capacity);
        for (int set = 0; set < counts.Length; set++)
        {
            if (fault == "count") counts[set]--;
            // the place before the first selected token, or behind it
            if (fault == "set") indices[set * sets.Capacity] += indices[set * sets.Capacity] > 0 ? -1 : 1;
        }
        ((DeviceSpan)sets.Counts).Upload<int>(counts);
        ((DeviceSpan)sets.Indices).Upload<int>(indices);
    }

    public override void AttendSelected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y)
    {
        _backend.AttendSelected(shape, cache, batch, q, sets, y);
        Spoil(shape, batch, y);
    }

    protected override void KeepAndAdvance(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots) => throw new NotSupportedException();

    public override bool Records => fault == "replay";

    public override RecordedWork Record(Action work) => new NothingRecorded();

    public override void AppendValueSums(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch) => _backend.AppendValueSums(shape, cache, sums, batch);

    public override void BlendMeanValue(AttentionShape shape, KvLayer cache, ValueSums sums, StepBatch batch, TokenSets sets, DeviceSpan y) =>
        _backend.BlendMeanValue(shape, cache, sums, batch, sets, y);

    public override void Dispose() => _backend.Dispose();

    private void Spoil(AttentionShape shape, StepBatch batch, DeviceSpan y)
    {
        if (fault != "output" && (fault != "later" || _steps++ == 0)) return;
        for (int head = 0; head < shape.Heads * batch.Rows; head++)
        {
            // 1 % of the head's norm, in one channel
            var span = y.SkipFloats(head * shape.HeadDim);
            float[] values = span.ToArray<float>(shape.HeadDim);
            values[0] += 0.01f * MathF.Sqrt(values.Sum(x => x * x));
            span.Upload<float>(values);
        }
    }

    private sealed class NothingRecorded : RecordedWork
    {
        public override int Nodes => 1;

        public override void Run() { }

        public override void Update(Action work) { }

        public override void Dispose() { }
    }
}
