using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Open tokens in order.</summary>
internal readonly struct SortedTarget(ArrayView<ulong> sorted) : IRankTarget
{
    /// <inheritdoc/>
    public void Put(int rank, ulong entry) => sorted[rank] = entry;
}
