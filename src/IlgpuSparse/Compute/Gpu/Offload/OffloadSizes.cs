namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>What the device's side of a cache in host memory is made for.</summary>
/// <param name="Format">Element type of K and V.</param>
/// <param name="Layers">Layers.</param>
/// <param name="KvHeads">Key and value heads.</param>
/// <param name="HeadDim">Channels a head.</param>
/// <param name="Blocks">Blocks of the cache.</param>
/// <param name="Sequences">Most sequences of a step.</param>
/// <param name="Window">Last tokens of a sequence that stay on the device.</param>
/// <param name="StagedLayers">Layers that there is room for as a whole: 1 for prompts alone, 2 where decode steps have them brought, too.</param>
/// <param name="HotBuckets">Buckets of hot rows a layer and kv head; 0 for none.</param>
/// <param name="Predicts">Whether rows are brought ahead.</param>
internal sealed record OffloadSizes(KvFormat Format, int Layers, int KvHeads, int HeadDim, int Blocks, int Sequences, int Window, int StagedLayers, int HotBuckets, bool Predicts)
{
    /// <summary>Bytes of a row of K, and of V.</summary>
    public int RowBytes => HeadDim * Format.ElementBytes();

    /// <summary>Device bytes, rows that are fetched not counted: scales of all tokens, resident blocks, hot rows, room for whole layers, tables.</summary>
    public long PlannedBytes
    {
        get
        {
            int scale = Format == KvFormat.Int8 ? sizeof(float) : 0;
            long tokens = (long)Blocks * KvLayer.BlockTokens * KvHeads, residents = (long)ResidentBlocks.Places(Blocks, Sequences, Window) * KvLayer.BlockTokens * KvHeads;
            long layer = 2 * (tokens * scale + residents * (RowBytes + scale)) + (HotBuckets > 0 ? KvHeads * HotRows.PlannedBytes(Format, HeadDim, HotBuckets) : 0);
            return Layers * layer + 2L * Math.Min(StagedLayers, Layers) * tokens * RowBytes
                + (long)Sequences * Blocks * sizeof(int) + (long)Layers * sizeof(int) + Kernels.Offload.FetchKernel.Counters * sizeof(long);
        }
    }
}
