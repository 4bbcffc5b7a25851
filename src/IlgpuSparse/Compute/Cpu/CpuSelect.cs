using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using IlgpuSparse.Compute.Cpu.Selection;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Scores to token sets: the forced tokens of the rule and the best of the others, ascending.</summary>
internal static unsafe class CpuSelect
{
    public static void Run(WorkerPool pool, AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets)
    {
        if (Avx512F.IsSupported) Run<KeyLanes512, Vector512<int>>(pool, shape, rule, batch, scores, sets);
        else if (Vector256.IsHardwareAccelerated) Run<KeyLanes256, Vector256<int>>(pool, shape, rule, batch, scores, sets);
        else Run<KeyLanes128, Vector128<int>>(pool, shape, rule, batch, scores, sets);
    }

    /// <summary>With vectors of a given width.</summary>
    public static void Run<TLanes, T>(WorkerPool pool, AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets)
        where TLanes : struct, IKeyLanes<T>
        where T : struct
    {
        if (sets.Sets != scores.Sets) throw new ArgumentException($"{sets.Sets} token sets cannot be chosen from scores of {scores.Sets} sets", nameof(sets));
        if (scores.Capacity < batch.MaxLength) throw new ArgumentException($"scores of {scores.Capacity} tokens cannot serve a sequence of {batch.MaxLength}", nameof(scores));
        int longest = 0;
        foreach (int position in batch.HostPositions)
        {
            int visible = position + 1 - shape.FirstVisible(position);
            if (rule.Budget(visible) > sets.Capacity)
                throw new ArgumentException($"a budget of {rule.Budget(visible)} of {visible} tokens does not fit token sets of {sets.Capacity}", nameof(sets));
            longest = Math.Max(longest, visible);
        }
        var job = new Job<TLanes, T>
        {
            Shape = shape,
            Rule = rule,
            Longest = longest,
            Sets = sets.Sets,
            Tasks = batch.Rows * sets.Sets,
            Scores = CpuBuffer.Pointer<float>(scores.Buffer),
            ScoreStride = scores.Capacity,
            Indices = CpuBuffer.Pointer<int>(sets.Indices),
            IndexStride = sets.Capacity,
            Counts = CpuBuffer.Pointer<int>(sets.Counts),
            Positions = CpuBuffer.Pointer<int>(batch.Positions),
            Scratch = pool.Scratch,
        };
        pool.Run(ref job, job.Tasks);
    }

    private struct Job<TLanes, T> : IParallelJob
        where TLanes : struct, IKeyLanes<T>
        where T : struct
    {
        public AttentionShape Shape;
        public SelectionRule Rule;
        public int Longest, Sets, Tasks, ScoreStride, IndexStride;
        public float* Scores;
        public int* Indices, Counts, Positions;
        public CpuScratch Scratch;

        public readonly void Execute(int index, int worker)
        {
            // The last scores first: scoring went the other way and left them in the caches.
            int task = Tasks - 1 - index;
            int position = Positions[task / Sets], first = Shape.FirstVisible(position), visible = position + 1 - first, budget = Rule.Budget(visible);
            int* target = Indices + (long)task * IndexStride;
            Counts[task] = budget;
            if (budget == visible)
            {
                for (int i = 0; i < visible; i++) target[i] = first + i;
                return;
            }
            int sinks = Rule.Sinks, recent = Math.Max(1, Rule.Recent), chosen = budget - sinks - recent;
            for (int i = 0; i < sinks; i++) *target++ = first + i;
            if (chosen > 0)
            {
                int start = first + sinks;
                int* scratch = (int*)Scratch.Worker(worker).Reserve(TopTokens<TLanes, T>.ScratchInts(Longest) * sizeof(int));
                new TopTokens<TLanes, T>(scratch, Longest).Select(Scores + (long)task * ScoreStride + start, visible - sinks - recent, chosen, start, target);
                target += chosen;
            }
            for (int i = recent - 1; i >= 0; i--) *target++ = position - i;
        }
    }
}
