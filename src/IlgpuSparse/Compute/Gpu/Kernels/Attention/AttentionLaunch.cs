using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>What the launchers of attention share: arguments from the seam's types, and their checks.</summary>
internal static class AttentionLaunch
{
    /// <summary>Launches <see cref="PortableAttentionKernel"/>.</summary>
    public delegate void Portable(AcceleratorStream stream, KernelConfig config, KvView cache, ArrayView<float> q, ArrayView<float> y, ArrayView<float> partials, ArrayView<float> sums, AttentionArgs args);

    /// <summary>The portable form's codec of a format.</summary>
    public static Type Codec(KvFormat format) => format switch
    {
        KvFormat.F32 => typeof(F32Kv),
        KvFormat.F16 => typeof(F16Kv),
        KvFormat.BF16 => typeof(BF16Kv),
        KvFormat.Int8 => typeof(Int8Kv),
        _ => throw new ArgumentOutOfRangeException(nameof(format), format, null),
    };

    /// <summary>The cache and the step as kernels take them.</summary>
    public static KvView View(KvLayer cache, StepBatch batch, TokenSets? sets = null)
    {
        var positions = GpuBuffer.View<int>(batch.Positions);
        return new KvView
        {
            K = GpuBuffer.View<uint>(cache.K),
            V = GpuBuffer.View<uint>(cache.V),
            // memory that this form never reads still has to be valid
            KScales = cache.KScales is null ? GpuBuffer.View<float>(cache.K) : GpuBuffer.View<float>(cache.KScales),
            VScales = cache.VScales is null ? GpuBuffer.View<float>(cache.V) : GpuBuffer.View<float>(cache.VScales),
            Blocks = GpuBuffer.View<int>(cache.Table?.Blocks ?? batch.BlockTable),
            Positions = positions,
            Tokens = sets is null ? positions : GpuBuffer.View<int>(sets.Indices),
            Counts = sets is null ? positions : GpuBuffer.View<int>(sets.Counts),
        };
    }

    /// <summary>Whether a kernel can write a step's own rows to <paramref name="cache"/> beside its work: see <see cref="OwnRowView"/>. Nothing else is written there by the step, then, so that in a graph what lies there may be read from its beginning on (whoever computes a run row by row does not record it).</summary>
    public static bool CanWriteOwn(AttentionShape shape, KvLayer cache, StepBatch batch) =>
        batch is { IsPrefill: false, IsRun: false } && cache is { Format: KvFormat.F32 or KvFormat.F16 or KvFormat.BF16, Offload: null, Table: null, IsBrought: false } && shape.HeadDim % 4 == 0;

    /// <summary>The step's own rows as kernels take them; none without <paramref name="own"/>.</summary>
    public static OwnRowView View(OwnRows? own, AttentionShape shape, KvLayer cache, StepBatch batch)
    {
        if (own is not { } rows) return default;
        long floats = (long)batch.Rows * shape.KvHeads * shape.HeadDim;
        return new OwnRowView
        {
            K = GpuBuffer.View<float>(rows.K, floats),
            V = GpuBuffer.View<float>(rows.V, floats),
            CachedK = GpuBuffer.View<uint>(cache.K),
            CachedV = GpuBuffer.View<uint>(cache.V),
            Blocks = GpuBuffer.View<int>(batch.BlockTable),
            MaxBlocks = batch.MaxBlocks,
            KvHeads = shape.KvHeads,
            HeadDim = shape.HeadDim,
            CacheBytes = cache.Format.ElementBytes(),
            CacheBrain = cache.Format == KvFormat.BF16 ? 1 : 0,
        };
    }

    /// <summary>Sizes, with sets of at most <paramref name="maxSlots"/> query heads, and block ids from <paramref name="table"/> where it is not the batch's.</summary>
    public static AttentionArgs Args(AttentionShape shape, StepBatch batch, int maxSlots, TokenSets? sets = null, KvBlockTable? table = null)
    {
        int group = shape.GroupSize;
        // a list a query head leaves nothing to share
        int slots = sets is not null && sets.Sets != shape.KvHeads ? 1 : Math.Min(maxSlots, group);
        return new AttentionArgs
        {
            Heads = shape.Heads,
            KvHeads = shape.KvHeads,
            GroupSize = group,
            HeadDim = shape.HeadDim,
            Window = shape.Window,
            Slots = slots,
            Parts = (group + slots - 1) / slots,
            Rows = batch.Rows,
            MaxBlocks = table?.Width ?? batch.MaxBlocks,
            MinSplitTokens = 1,
            Capacity = sets?.Capacity ?? 0,
            Sets = sets?.Sets ?? 0,
            ScaleLog2 = shape.Scale * 1.4426950408889634f,
        };
    }

    /// <summary>Checks a shape against a cache.</summary>
    /// <exception cref="ArgumentException">No kernel can compute it.</exception>
    public static void Check(AttentionShape shape, KvLayer cache)
    {
        if (shape.KvHeads < 1 || shape.Heads % shape.KvHeads != 0) throw new ArgumentException($"{shape.Heads} query heads are not a multiple of {shape.KvHeads} kv heads", nameof(shape));
        int perWord = 4 / cache.Format.ElementBytes();
        if (shape.HeadDim < 1 || shape.HeadDim > PortableAttentionKernel.MaxHeadDim || shape.HeadDim % perWord != 0)
            throw new ArgumentException($"head size {shape.HeadDim} in {cache.Format}: the GPU needs a multiple of {perWord} up to {PortableAttentionKernel.MaxHeadDim}", nameof(shape));
        if (cache.Format == KvFormat.Int8 && (cache.KScales is null || cache.VScales is null)) throw new ArgumentException("Int8 K and V need scales", nameof(cache));
    }
}
