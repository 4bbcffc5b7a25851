using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>Full attention: the baseline, and what sparse policies must equal when their budget covers the context.</summary>
internal sealed class DensePolicy(ComputeBackend backend, LlamaConfig config, KvCache cache) : AttentionPolicy
{
    private readonly AttentionShape _shape = new(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);

    public override string Description => "dense";

    public override long AuxiliaryBytesPerToken => 0;

    public override void Append(int layer, StepBatch batch, DeviceSpan k) { }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y) => backend.Attend(_shape, cache.Layers[layer], batch, q, y);

    internal override bool AppendsRows => true;

    internal override void AppendAndAttend(int layer, StepBatch batch, DeviceSpan k, DeviceSpan q, DeviceSpan y, DeviceSpan? v = null)
    {
        if (v is { } values) backend.AppendAndAttend(_shape, cache.Layers[layer], batch, new OwnRows(k, values), q, y);
        else Attend(layer, batch, q, y);
    }

    public override long BytesRead(int position) => (position + 1L - _shape.FirstVisible(position)) * KvCache.BytesPerToken(config, cache.Format);

    public override void Dispose() { }
}
