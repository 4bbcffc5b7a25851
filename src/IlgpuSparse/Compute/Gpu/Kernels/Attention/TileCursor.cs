namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The next tile that a warp of <see cref="TensorDecodeKernel"/> asks for.</summary>
internal struct TileCursor
{
    /// <summary>Tile of the set's entries.</summary>
    public int Tile;

    /// <summary>Rows of the cache before the tile's first, or before the lane's own of a list.</summary>
    public int Offset;

    /// <summary>Position of the same in the tile after, which is still to be located.</summary>
    public int Position;
}
