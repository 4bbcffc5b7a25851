namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>
/// Rows of K and V of one layer that were read lately, kept on the device: for each kv head <see cref="Buckets"/> buckets of <see cref="Ways"/> places. A row of the cache has its bucket (its number modulo their count), so that finding
/// it takes one load, and what is kept depends on nothing but what was selected.
/// </summary>
internal sealed class HotRows : IDisposable
{
    /// <summary>Places a bucket.</summary>
    public const int Ways = 4;

    private readonly List<DeviceBuffer> _owned = [];

    /// <summary>Allocates <paramref name="buckets"/> buckets a kv head.</summary>
    public HotRows(ComputeBackend backend, KvFormat format, int kvHeads, int headDim, int buckets)
    {
        Buckets = buckets;
        long places = (long)kvHeads * buckets * Ways;
        try
        {
            K = Own(backend.Allocate(places * headDim * format.ElementBytes(), "kv"));
            V = Own(backend.Allocate(places * headDim * format.ElementBytes(), "kv"));
            Tags = Own(backend.Allocate(places * sizeof(int), "kv"));
            Stamps = Own(backend.Allocate(places * sizeof(int), "kv"));
            Claims = Own(backend.Allocate((long)kvHeads * buckets * sizeof(int), "kv"));
        }
        catch
        {
            Dispose();
            throw;
        }
        Forget();
        int[] none = new int[kvHeads * buckets];
        Array.Fill(none, int.MaxValue);
        ((DeviceSpan)Claims).Upload<int>(none);
    }

    /// <summary>Buckets a kv head.</summary>
    public int Buckets { get; }

    /// <summary>Keys <c>[kvHead, bucket, way, headDim]</c>.</summary>
    public DeviceBuffer K { get; }

    /// <summary>Values, as <see cref="K"/>.</summary>
    public DeviceBuffer V { get; }

    /// <summary>Row of the cache (256 · block + token in the block) in each place, int32 <c>[kvHead, bucket, way]</c>; -1 for none.</summary>
    public DeviceBuffer Tags { get; }

    /// <summary>The step that each place was last read in, int32 <c>[kvHead, bucket, way]</c>.</summary>
    public DeviceBuffer Stamps { get; }

    /// <summary>The missing row that goes into each bucket, int32 <c>[kvHead, bucket]</c>; within a step alone.</summary>
    public DeviceBuffer Claims { get; }

    /// <summary>Bytes a kv head of so many buckets.</summary>
    public static long PlannedBytes(KvFormat format, int headDim, int buckets) => buckets * (Ways * (2L * headDim * format.ElementBytes() + 2 * sizeof(int)) + sizeof(int));

    /// <summary>Buckets that hold about <paramref name="rows"/> rows; 0 for none.</summary>
    public static int BucketsFor(int rows) => (rows + Ways - 1) / Ways;

    /// <summary>Empties it: the rows of the cache have changed.</summary>
    public void Forget()
    {
        int[] none = new int[Tags.ByteLength / sizeof(int)];
        Array.Fill(none, -1);
        ((DeviceSpan)Tags).Upload<int>(none);
        ((DeviceSpan)Stamps).Upload<int>(none);
    }

    private DeviceBuffer Own(DeviceBuffer buffer)
    {
        _owned.Add(buffer);
        return buffer;
    }

    public void Dispose()
    {
        foreach (var buffer in _owned) buffer.Dispose();
        _owned.Clear();
    }
}
