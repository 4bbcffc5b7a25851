using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>The part of a set's tokens that a group of a cluster attends to: in shared memory, and for others in memory.</summary>
internal struct ListTarget : IRankTarget
{
    /// <summary>The group's tokens.</summary>
    public ArrayView<int> List;

    /// <summary>Those of all sets.</summary>
    public ArrayView<int> Indices;

    /// <summary>Where the set's begin in <see cref="Indices"/>.</summary>
    public long Output;

    /// <summary>Tokens of the set that come before the open ones.</summary>
    public int Before;

    /// <summary>The group's first token in the set.</summary>
    public int First;

    /// <summary>Tokens of the group.</summary>
    public int Count;

    public readonly void Put(int rank, ulong entry)
    {
        int place = Before + rank, own = place - First, token = (int)~(uint)entry;
        if ((own | (Count - 1 - own)) >= 0)
        {
            List[own] = token;
            Indices[Output + place] = token;
        }
    }
}
