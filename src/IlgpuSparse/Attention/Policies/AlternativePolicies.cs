using IlgpuSparse.Compute;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Several policies over one cache, of which one attends at a time: a context that was appended to all of them can be asked under each. Keys that come while one is chosen are told to that one alone; the sequence
/// must be taken back behind them before another is chosen.
/// </summary>
internal sealed class AlternativePolicies : AttentionPolicy
{
    private readonly List<AttentionPolicy> _policies = [];
    private int _chosen = -1;

    /// <summary>Makes one for each of <paramref name="attentions"/>.</summary>
    public AlternativePolicies(IEnumerable<AttentionOptions> attentions, Func<AttentionOptions, AttentionPolicy> create)
    {
        try
        {
            foreach (var options in attentions) _policies.Add(create(options));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>One of them.</summary>
    public AttentionPolicy this[int index] => _policies[index];

    public override string Description => Chosen.Description;

    public override long AuxiliaryBytesPerToken => _policies.Sum(p => p.AuxiliaryBytesPerToken);

    private AttentionPolicy Chosen => _chosen >= 0 ? _policies[_chosen] : throw new InvalidOperationException("no policy is chosen: a step cannot attend");

    /// <summary>Lets one attend.</summary>
    public void Select(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _policies.Count);
        _chosen = index;
    }

    /// <summary>Lets all take note of what is prefilled.</summary>
    public void SelectAll() => _chosen = -1;

    public override void Append(int layer, StepBatch batch, DeviceSpan k)
    {
        if (_chosen >= 0) Chosen.Append(layer, batch, k);
        else foreach (var policy in _policies) policy.Append(layer, batch, k);
    }

    // A recording belongs to one policy and one of its ways: how many ways there are is the policies' business, so they are dealt out in turn.
    public override int Mode(StepBatch batch) => Chosen.Mode(batch) * _policies.Count + _chosen;

    public override bool IsRecordable => _chosen >= 0 ? Chosen.IsRecordable : _policies.TrueForAll(p => p.IsRecordable);

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y) => Chosen.Attend(layer, batch, q, y);

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => Chosen.SetsOf(layer, batch);

    public override long BytesRead(int position) => Chosen.BytesRead(position);

    public override void Dispose()
    {
        foreach (var policy in _policies) policy.Dispose();
    }
}
