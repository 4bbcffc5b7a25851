using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Last kernel of a selection by mass over several groups a set: each chunk's survivors that are selected go to their place in the result.</summary>
internal static class PlaceKernel
{
    public const int GroupSize = 256;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize) with { CudaOnly = true, HoldsNext = true };

    /// <summary>Grid (chunks, sets, rows).</summary>
    /// <param name="select">The selection.</param>
    /// <param name="tokens">Tokens a chunk, as <see cref="MassFilterKernel"/> had them.</param>
    public static void Run(SelectView select, int tokens)
    {
        var totals = SharedMemory.Allocate<uint>(GroupScan.MaxWarps);
        var last = SharedMemory.Allocate<uint>(1);
        int row = Grid.IdxZ, chunk = Grid.IdxX;
        long set = (long)row * Grid.DimY + Grid.IdxY;
        var range = VisibleRange.Of(select, row);
        var scratch = select.Scratch;
        if (range.Origin + chunk * tokens <= range.Last)
        {
            uint threshold = scratch.Thresholds[set];
            int count = (int)scratch.ChunkCounts[set * scratch.Chunks + chunk].X;
            var place = scratch.ChunkPlaces[set * scratch.Chunks + chunk];
            int ties = (int)place.Y, aboveBefore = 0, tiedBefore = 0;
            long survivors = set * scratch.Stride + (long)chunk * tokens, output = set * select.SetCapacity + place.X;
            for (int start = 0; start < count; start += Group.DimX)
            {
                int i = start + Group.IdxX;
                var survivor = new U2();
                if (i < count) survivor = scratch.Survivors[survivors + i];
                uint isAbove = survivor.Y > threshold ? 1u : 0u, isTied = survivor.Y == threshold ? 1u : 0u;
                // two counts in one word: a group has at most 1024 of either
                uint own = isAbove | (isTied << 16);
                uint upTo = GroupScan.Inclusive(own, totals);
                uint before = upTo - own;
                int above = aboveBefore + (int)(before & 0xffffu), tied = tiedBefore + (int)(before >> 16);
                if (isAbove != 0 || (isTied != 0 && tied < ties)) select.Indices[output + above + Math.Min(tied, ties)] = (int)survivor.X;
                if (Group.IdxX == Group.DimX - 1) last[0] = upTo;
                Group.Barrier();
                aboveBefore += (int)(last[0] & 0xffffu);
                tiedBefore += (int)(last[0] >> 16);
            }
        }
    }
}
