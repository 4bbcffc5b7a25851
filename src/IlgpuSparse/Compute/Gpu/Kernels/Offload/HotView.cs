using ILGPU;
using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>What is known of a layer's hot rows, as <see cref="HotRows"/> has it, and where steps are counted; any memory where there are none.</summary>
internal struct HotView
{
    /// <summary>Which row of the cache lies in each place <c>[kvHead, bucket, way]</c>: 256 · block + token in the block; -1 for none.</summary>
    public ArrayView<int> Tags;

    /// <summary>The step that each place was last read in <c>[kvHead, bucket, way]</c>.</summary>
    public ArrayView<int> Stamps;

    /// <summary>The first of the missing rows of this step that would go into each bucket <c>[kvHead, bucket]</c>: its place among all lists; the largest integer for none.</summary>
    public ArrayView<int> Claims;

    /// <summary>Steps so far of each layer.</summary>
    public ArrayView<int> Clocks;

    /// <summary>Rows read so far, by where they came from (<see cref="FetchKernel"/>).</summary>
    public ArrayView<long> Counters;
}
