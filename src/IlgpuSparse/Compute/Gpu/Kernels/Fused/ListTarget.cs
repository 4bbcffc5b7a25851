using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>The part of a set's tokens that a group of a cluster attends to.</summary>
internal struct ListTarget : IRankTarget
{
    /// <summary>The group's tokens.</summary>
    public ArrayView<int> List;

    /// <summary>Tokens of the set that come before the open ones.</summary>
    public int Before;

    /// <summary>The group's first token in the set.</summary>
    public int First;

    /// <summary>Tokens of the group.</summary>
    public int Count;

    public readonly void Put(int rank, ulong entry)
    {
        int own = Before + rank - First;
        if ((own | (Count - 1 - own)) >= 0) List[own] = (int)~(uint)entry;
    }
}
