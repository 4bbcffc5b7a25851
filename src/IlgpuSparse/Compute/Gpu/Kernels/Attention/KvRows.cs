namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Rows of K and V of 16 bits.</summary>
internal static class KvRows
{
    /// <summary>Has the second-level cache bring those of a token, of which there are <paramref name="row"/> before in the cache.</summary>
    public static void Ask<THead>(KvView cache, int row)
        where THead : struct, IHeadSize
    {
        const int line = 64; // numbers
        long first = (long)row * (THead.Channels >> 1);
        for (int i = 0; i < THead.Channels >> 1; i += line >> 1)
        {
            Loads.Ahead(ref cache.K[first + i]);
            Loads.Ahead(ref cache.V[first + i]);
        }
    }
}
