using ILGPU.IR;
using ILGPU.IR.Analyses;
using ILGPU.IR.Transformations;
using ILGPU.IR.Values;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Gives every counted loop an exit block of its own. <see cref="LoopUnrolling"/> of ILGPU 1.5.3 does not tell the phis of the exit block that their value now comes from the last copy of the
/// body: where a loop is the last statement of an <c>if</c> or <c>else</c>, its exit is the block in which the arms join, and what the loop had computed was lost without a word.
/// </summary>
internal sealed class LoopExits : UnorderedTransformation
{
    protected override bool PerformTransformation(Method.Builder builder)
    {
        var loops = builder.SourceBlocks.CreateCFG().CreateLoops();
        var infos = loops.CreateLoopInfos();
        var exits = new List<(BasicBlock From, BasicBlock To)>();
        foreach (var loop in loops)
        {
            if (!infos.TryGetInfo(loop, out var info) || !IsCounted(info.InductionVariables) || info.Exit.Predecessors.Length < 2) continue;
            foreach (var from in info.Exit.Predecessors)
            {
                if (loop.Contains(from)) exits.Add((from, info.Exit));
            }
        }
        if (exits.Count == 0) return false;
        builder.AcceptControlFlowUpdates(accept: true);
        foreach (var (from, to) in exits)
        {
            var between = builder.CreateBasicBlock(from.Location);
            between.CreateBranch(from.Location, to);
            from.GetTerminatorAs<Branch>().RemapTargets(builder[from], new Target(to, between));
            builder[to].RemapPhiArguments(new PhiValue.BlockRemapper(from, between));
        }
        return true;
    }

    // what is not unrolled stays as it is
    private static bool IsCounted(ReadOnlySpan<InductionVariable> variables) =>
        variables.Length == 1 && variables[0].TryResolveBounds(out var bounds) && bounds.TryGetTripCount(out _).HasValue;

    private readonly struct Target(BasicBlock old, BasicBlock now) : TerminatorValue.ITargetRemapper
    {
        public bool CanRemap(in ReadOnlySpan<BasicBlock> blocks) => blocks.IndexOf(old) >= 0;

        public BasicBlock Remap(BasicBlock block) => block == old ? now : block;
    }
}
