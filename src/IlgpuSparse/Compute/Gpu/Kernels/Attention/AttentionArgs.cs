namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Sizes of a launch. A set is what one group of threads works on in a row: up to <see cref="Slots"/> query heads of a kv head, over the same tokens.</summary>
internal struct AttentionArgs
{
    /// <summary>Query heads.</summary>
    public int Heads;

    /// <summary>Key and value heads.</summary>
    public int KvHeads;

    /// <summary>Channels a head.</summary>
    public int HeadDim;

    /// <summary>Tokens that a query may look back, itself included; 0 for all.</summary>
    public int Window;

    /// <summary>Most query heads a set.</summary>
    public int Slots;

    /// <summary>Query heads a kv head.</summary>
    public int GroupSize;

    /// <summary>Sets a kv head.</summary>
    public int Parts;

    /// <summary>1 where every token that a row sees but its own lay in the cache before the graph, so that K and V may be asked for before earlier kernels have ended (<see cref="DependentLaunch"/>).</summary>
    public int StartsEarly;

    /// <summary>Activation rows.</summary>
    public int Rows;

    /// <summary>Width of the block table.</summary>
    public int MaxBlocks;

    /// <summary>Fewest tokens that are worth a split.</summary>
    public int MinSplitTokens;

    /// <summary>Room a token set.</summary>
    public int Capacity;

    /// <summary>Token sets a row.</summary>
    public int Sets;

    /// <summary>log2(e)/√d: with it folded into the query the softmax is in powers of two.</summary>
    public float ScaleLog2;

}
