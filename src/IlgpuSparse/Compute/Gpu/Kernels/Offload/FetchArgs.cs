using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Sizes and addresses of <see cref="FetchKernel"/> and <see cref="KeepKernel"/>.</summary>
internal struct FetchArgs
{
    /// <summary>K and V of the blocks that stay on the device.</summary>
    public long ResidentK, ResidentV;

    /// <summary>K and V in host memory.</summary>
    public long HostK, HostV;

    /// <summary>K and V of the hot rows, <c>[kvHead, place, headDim]</c>.</summary>
    public long HotK, HotV;

    /// <summary>K and V of the fetched rows, <c>[row · <see cref="RowBlocks"/> + block, kvHead, token in block, headDim]</c>.</summary>
    public long FetchedK, FetchedV;

    /// <summary>Key and value heads.</summary>
    public int KvHeads;

    /// <summary>16-byte units of a row of K, and of V.</summary>
    public int Units;

    /// <summary>Width of the block tables.</summary>
    public int MaxBlocks;

    /// <summary>Room a token list.</summary>
    public int Capacity;

    /// <summary>Token lists a row, and a kv head.</summary>
    public int Sets, SetsPerKvHead;

    /// <summary>Blocks of fetched rows an activation row.</summary>
    public int RowBlocks;

    /// <summary>Buckets of <see cref="HotRows.Ways"/> hot rows a kv head; 0 for none.</summary>
    public int Buckets;

    /// <summary>Clock of the layer's hot rows.</summary>
    public int Clock;

    /// <summary>1 where rows have scales.</summary>
    public int Scaled;
}
