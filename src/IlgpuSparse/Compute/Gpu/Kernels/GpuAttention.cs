using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Appending K and V and exact attention to them, wherever they lie: where that is host memory, the <see cref="KvOffload"/> of the cache says what is worked with on the device instead, and is told when it has been.
/// </summary>
internal sealed class GpuAttention(GpuDevice device, MemoryLedger ledger, bool tensorCores, ProductPrecision precision, ProductChain chain) : IDisposable
{
    private readonly GpuAppendKv _append = new(device);

    /// <summary>Attention of decode steps.</summary>
    public GpuDecodeAttention Decode { get; } = new(device, ledger, tensorCores, chain);

    /// <summary>Attention of prefill chunks.</summary>
    public GpuPrefillAttention Prefill { get; } = new(device, tensorCores, precision);

    /// <summary>Writes <paramref name="k"/> and <paramref name="v"/> into the cache at each row's position.</summary>
    public void Append(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan k, DeviceSpan v, AcceleratorStream stream)
    {
        _append.Run(shape, cache.Offload?.Owner.Target(cache, batch) ?? cache, batch, k, v, stream);
        cache.Offload?.Owner.Store(cache, batch);
    }

    /// <summary>Attends to every visible token.</summary>
    public void Dense(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan y, AcceleratorStream stream)
    {
        var whole = cache.Offload?.Owner.Whole(shape, cache, batch) ?? cache;
        if (batch.IsPrefill && batch.Rows > 1) Prefill.Run(shape, whole, batch, q, y, stream);
        else Decode.Dense(shape, whole, batch, q, y, stream);
        cache.Offload?.Owner.Leave(cache, batch);
    }

    /// <summary>Appends the rows of <paramref name="own"/>, then attends to every visible token, in one kernel where there is one.</summary>
    public void Dense(AttentionShape shape, KvLayer cache, StepBatch batch, OwnRows own, DeviceSpan q, DeviceSpan y, AcceleratorStream stream)
    {
        if (Decode.Appends(shape, cache, batch))
        {
            Decode.Dense(shape, cache, batch, q, y, stream, own);
            return;
        }
        Append(shape, cache, batch, own.K, own.V, stream);
        Dense(shape, cache, batch, q, y, stream);
    }

    /// <summary>Attends to the tokens of <paramref name="sets"/> alone.</summary>
    public void Selected(AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, TokenSets sets, DeviceSpan y, AcceleratorStream stream)
    {
        if (cache.Offload is not { } offload)
        {
            Decode.Selected(shape, cache, batch, q, sets, y, stream);
            return;
        }
        var (rows, lists) = offload.Owner.Selected.Fetch(cache, batch, sets);
        Decode.Selected(shape, rows, batch, q, lists, y, stream);
        offload.Owner.Selected.Keep(cache, batch, sets);
    }

    public void Dispose() => Decode.Dispose();
}
