using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;

namespace IlgpuSparse.Attention.Policies;

/// <summary>
/// Several policies over one cache, of which one attends at a time: a context that was appended to all of them can be asked under each. Keys that come while one is chosen are told to that one alone; the sequence
/// must be taken back behind them before another is chosen.
/// </summary>
internal sealed class AlternativePolicies : AttentionPolicy
{
    // one for all attentions that differ in their budgets alone
    private readonly List<AttentionPolicy> _policies = [];
    private readonly List<(AttentionOptions Options, AttentionPolicy Policy)> _attentions = [];
    private int _chosen = -1;
    private long _unread;

    /// <summary>Makes what <paramref name="attentions"/> need, for a cache of <paramref name="capacity"/> tokens.</summary>
    public AlternativePolicies(IReadOnlyList<AttentionOptions> attentions, int capacity, Func<AttentionOptions, AttentionPolicy> create)
    {
        try
        {
            var known = new Dictionary<AttentionOptions, AttentionPolicy>();
            foreach (var options in attentions)
            {
                var method = options with { Rule = default };
                if (!known.TryGetValue(method, out var policy))
                {
                    _policies.Add(policy = create(attentions.Where(a => a with { Rule = default } == method).MaxBy(a => a.Rule.Budget(capacity))!));
                    known.Add(method, policy);
                }
                _attentions.Add((options, policy));
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

    /// <summary>The policy of one of them, with its budget.</summary>
    public AttentionPolicy this[int index]
    {
        get
        {
            var (options, policy) = _attentions[index];
            if (options.Kind != AttentionKind.Dense && policy.Rule != options.Rule) policy.Rule = options.Rule;
            return policy;
        }
    }

    public override string Description => Chosen.Description;

    public override long AuxiliaryBytesPerToken => _policies.Sum(p => p.AuxiliaryBytesPerToken);

    private AttentionPolicy Chosen => _chosen >= 0 ? this[_chosen] : throw new InvalidOperationException("no policy is chosen: a step cannot attend");

    /// <summary>Lets one attend.</summary>
    public void Select(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _attentions.Count);
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
    public override int Mode(StepBatch batch) => Chosen.Mode(batch) * _attentions.Count + _chosen;

    public override bool IsRecordable => Probe is not { IsLooking: true } && (_chosen >= 0 ? Chosen.IsRecordable && !EndsEarly : _policies.TrueForAll(p => p.IsRecordable));

    // Whether how much is read is known only from the sets.
    private bool EndsEarly => _attentions[_chosen].Options.Rule.TopP < 1;

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        Chosen.Attend(layer, batch, q, y);
        var sets = Chosen.SetsOf(layer, batch);
        if (EndsEarly && sets is not null) _unread += Chosen.BytesUnread(layer, batch, sets);
        if (Probe is { IsLooking: true } probe) probe.Look(layer, batch, q, y, sets);
    }

    internal override bool TakesRuns => Chosen.TakesRuns;

    internal override bool Predicts(int layer, StepBatch batch) => Chosen.Predicts(layer, batch);

    internal override void Predict(int layer, StepBatch batch, DeviceSpan q) => Chosen.Predict(layer, batch, q);

    /// <summary>Bytes that sets were shorter than <see cref="BytesRead"/> counts, over all steps since the last call.</summary>
    public long TakeUnread()
    {
        long unread = _unread;
        _unread = 0;
        return unread;
    }

    internal override TokenSets? SetsOf(int layer, StepBatch batch) => Chosen.SetsOf(layer, batch);

    public override long BytesRead(int position) => Chosen.BytesRead(position);

    public override void Dispose()
    {
        foreach (var policy in _policies) policy.Dispose();
    }
}
