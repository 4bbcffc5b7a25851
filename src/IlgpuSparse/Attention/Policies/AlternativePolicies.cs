using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Several policies over one cache, of which one attends at a time: a context that was appended to all of them can be asked under each. Keys that come while one is chosen are told to that one alone; the sequence
/// must be taken back behind them before another is chosen.
/// </summary>
internal sealed class AlternativePolicies : AttentionPolicy
{
    private readonly List<AttentionPolicy> _policies = [];
    private readonly List<AttentionOptions> _options = [];
    private int _chosen = -1;
    private long _unread;

    /// <summary>Makes one for each of <paramref name="attentions"/>.</summary>
    public AlternativePolicies(IEnumerable<AttentionOptions> attentions, Func<AttentionOptions, AttentionPolicy> create)
    {
        try
        {
            foreach (var options in attentions)
            {
                _options.Add(options);
                _policies.Add(create(options));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Looks at steps that it is asked to, and is told of every key; null for nobody.</summary>
    public AttentionProbe? Probe { get; set; }

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
        Probe?.Append(layer, batch, k);
    }

    public override void Observe(int layer, StepBatch batch, DeviceSpan q)
    {
        if (_chosen >= 0) Chosen.Observe(layer, batch, q);
        else foreach (var policy in _policies) policy.Observe(layer, batch, q);
    }

    public override void Mark()
    {
        foreach (var policy in _policies) policy.Mark();
    }

    public override void Return()
    {
        foreach (var policy in _policies) policy.Return();
    }

    // A recording belongs to one policy and one of its ways: how many ways there are is the policies' business, so they are dealt out in turn.
    public override int Mode(StepBatch batch) => Chosen.Mode(batch) * _policies.Count + _chosen;

    public override bool IsRecordable => Probe is not { IsLooking: true } && (_chosen >= 0 ? Chosen.IsRecordable && !EndsEarly : _policies.TrueForAll(p => p.IsRecordable));

    // Whether how much is read is known only from the sets.
    private bool EndsEarly => _options[_chosen].Rule.TopP < 1;

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        Chosen.Attend(layer, batch, q, y);
        var sets = Chosen.SetsOf(layer, batch);
        if (EndsEarly && sets is not null) _unread += Chosen.BytesUnread(batch, sets);
        if (Probe is { IsLooking: true } probe) probe.Look(layer, batch, q, y, sets);
    }

    internal override bool TakesRuns => Chosen.TakesRuns;

    /// <summary>Bytes that sets were shorter than <see cref="BytesRead"/> counts, over all steps since the last call.</summary>
    public long TakeUnread()
    {
        long unread = _unread;
        _unread = 0;
        return unread;
    }

    public override long BytesRead(int position) => Chosen.BytesRead(position);

    public override void Dispose()
    {
        foreach (var policy in _policies) policy.Dispose();
    }
}
