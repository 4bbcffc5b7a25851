using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The tokens of a set in memory.</summary>
internal readonly struct SetTarget(ArrayView<int> indices, long first) : IRankTarget
{
    /// <inheritdoc/>
    public void Put(int rank, ulong entry) => indices[first + rank] = (int)~(uint)entry;
}
