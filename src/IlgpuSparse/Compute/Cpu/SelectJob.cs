using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu.Selection;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Chooses the tokens of one set a task: by itself, or as the end of the task that scored them.</summary>
internal unsafe struct SelectJob : IParallelJob
{
    private readonly AttentionShape _shape;
    private readonly SelectionRule _rule;
    private readonly float* _scores, _shares;
    private readonly float _massScale;
    private readonly int* _indices, _counts, _positions, _factors;
    private readonly int _longest, _sets, _scoreStride, _indexStride, _vectorBits;
    private readonly CpuScratch _scratch;

    /// <summary>Checks the arguments of <see cref="ComputeBackend.Select"/>; vectors are at most <paramref name="vectorBits"/> wide.</summary>
    public SelectJob(CpuScratch scratch, AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets, int vectorBits)
    {
        if (sets.Sets != scores.Sets) throw new ArgumentException($"{sets.Sets} token sets cannot be chosen from scores of {scores.Sets} sets", nameof(sets));
        if (scores.Capacity < batch.MaxLength) throw new ArgumentException($"scores of {scores.Capacity} tokens cannot serve a sequence of {batch.MaxLength}", nameof(scores));
        _factors = sets.Factors is null ? null : CpuBuffer.Pointer<int>(sets.Factors);
        for (int task = 0; task < batch.Rows * sets.Sets; task++)
        {
            int position = batch.HostPositions[task / sets.Sets], visible = position + 1 - shape.FirstVisible(position), budget = RuleOf(rule, task).Budget(visible);
            if (budget > sets.Capacity) throw new ArgumentException($"a budget of {budget} of {visible} tokens does not fit token sets of {sets.Capacity}", nameof(sets));
            _longest = Math.Max(_longest, visible);
        }
        _shape = shape;
        _rule = rule;
        _sets = sets.Sets;
        _scores = CpuBuffer.Pointer<float>(scores.Buffer);
        _scoreStride = scores.Capacity;
        _indices = CpuBuffer.Pointer<int>(sets.Indices);
        _indexStride = sets.Capacity;
        _shares = sets.Shares is null ? null : CpuBuffer.Pointer<float>(sets.Shares);
        _massScale = TokenMass.Scale(rule.Temperature);
        _counts = CpuBuffer.Pointer<int>(sets.Counts);
        _positions = CpuBuffer.Pointer<int>(batch.Positions);
        _scratch = scratch;
        _vectorBits = vectorBits >= 512 && Avx512F.IsSupported ? 512 : vectorBits >= 256 && Vector256.IsHardwareAccelerated ? 256 : 128;
    }

    /// <summary>Chooses set <paramref name="task"/> of <c>[row, set]</c>.</summary>
    public readonly void Execute(int task, int worker) => Execute(task, worker, _scores + (long)task * _scoreStride);

    /// <summary>The same by scores that lie elsewhere.</summary>
    public readonly void Execute(int task, int worker, float* scores)
    {
        int position = _positions[task / _sets], first = _shape.FirstVisible(position);
        var rule = RuleOf(_rule, task);
        int budget = rule.Budget(position + 1 - first);
        int* target = _indices + (long)task * _indexStride;
        switch (_vectorBits)
        {
            case 512: Best<KeyLanes512, Vector512<int>>(worker, scores, position, first, budget, target); break;
            case 256: Best<KeyLanes256, Vector256<int>>(worker, scores, position, first, budget, target); break;
            default: Best<KeyLanes128, Vector128<int>>(worker, scores, position, first, budget, target); break;
        }
        _counts[task] = budget;
        if (_rule.Share == 0 && _shares == null) return;
        byte* scratch = (byte*)_scratch.Worker(worker).Reserve(MassTrim.ScratchBytes);
        _counts[task] = new MassTrim(rule, _massScale).Run(scores, first, position, target, budget, scratch, out float share);
        if (_shares != null) _shares[task] = share;
    }

    private readonly SelectionRule RuleOf(SelectionRule rule, int task) => _factors == null ? rule : rule.Scale(_factors[task]);

    // Exact top-k.
    private readonly void Best<TLanes, T>(int worker, float* scores, int position, int first, int budget, int* target)
        where TLanes : struct, IKeyLanes<T>
        where T : struct
    {
        int visible = position + 1 - first;
        if (budget == visible)
        {
            for (int i = 0; i < visible; i++) target[i] = first + i;
            return;
        }
        int sinks = _rule.Sinks, recent = Math.Max(1, _rule.Recent), chosen = budget - sinks - recent;
        for (int i = 0; i < sinks; i++) *target++ = first + i;
        if (chosen > 0)
        {
            int start = first + sinks;
            int* room = (int*)_scratch.Worker(worker).Reserve(TopTokens<TLanes, T>.ScratchInts(_longest) * sizeof(int));
            new TopTokens<TLanes, T>(room, _longest).Select(scores + start, visible - sinks - recent, chosen, start, target);
            target += chosen;
        }
        for (int i = recent - 1; i >= 0; i--) *target++ = position - i;
    }
}
