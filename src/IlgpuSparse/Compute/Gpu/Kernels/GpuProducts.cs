using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Products;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>
/// Products of activations with weights by the kernels that suit them: <see cref="GpuLinear"/> for a few rows, with what comes before and after them fused; <see cref="GpuTensorMatMul"/> for many, where the device
/// has tensor cores; <see cref="GpuMatMul"/> for what neither serves. Of several operations in one, those that no kernel does together are left to the caller to do one by one.
/// </summary>
internal sealed class GpuProducts : IDisposable
{
    private const int LargestChunk = 4096;
    private const long LargestActivations = 1L << 30;

    public GpuProducts(GpuDevice device, MemoryLedger ledger, bool tensorCores, ProductPrecision precision)
    {
        Linear = new GpuLinear(device, tensorCores, device.Maps);
        if (tensorCores) Tensor = new GpuTensorMatMul(device, ledger, precision);
        MatMul = new GpuMatMul(device, Tensor);
    }

    /// <summary>Products of few rows.</summary>
    public GpuLinear Linear { get; }

    /// <summary>Products of many rows, where the device has tensor cores; null otherwise.</summary>
    public GpuTensorMatMul? Tensor { get; }

    /// <summary>Products of any rows with any weights.</summary>
    public GpuMatMul MatMul { get; }

    /// <summary>Tokens of a prefill chunk, <paramref name="least"/> or more: on tensor cores large enough that tiles fill the device evenly, but with activations of no more than a gigabyte.</summary>
    public int PrefillChunk(LlamaConfig config, int least)
    {
        int rows = least;
        if (Tensor is null) return rows;
        while (rows < LargestChunk && 2L * rows * ForwardPass.RowFloats(config) * sizeof(float) <= LargestActivations) rows *= 2;
        return rows;
    }

    /// <summary>What products of up to <paramref name="rows"/> rows with the matrices of a decoder need beside their operands.</summary>
    public long WorkingBytes(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => Tensor?.WorkingBytes(config, formats, rows) ?? 0;

    /// <summary>Allocates <see cref="WorkingBytes"/>.</summary>
    public void Reserve(LlamaConfig config, IReadOnlyCollection<WeightFormat> formats, int rows) => Tensor?.Reserve(config, formats, rows);

    /// <summary>y (+)= x · Wᵀ + bias.</summary>
    public void Run(WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias, bool accumulate, AcceleratorStream stream)
    {
        if (Prefers(rows, weight) || !Linear.TryProduct(weight, new LinearInputs(x, rows), y, bias, accumulate, stream)) MatMul.Run(weight, x, rows, y, bias, accumulate, stream);
    }

    /// <summary>y = norm(x) · Wᵀ + bias; false where no kernel normalises the rows that it multiplies.</summary>
    public bool TryNormed(WeightMatrix weight, NormedInput input, int rows, DeviceSpan y, WeightMatrix? bias, AcceleratorStream stream)
    {
        if (!Prefers(rows, weight) && Linear.TryProduct(weight, Inputs(input, rows), y, bias, accumulate: false, stream)) return true;
        if (Tensor is not { } tensor || !GpuTensorMatMul.Serves(rows, weight)) return false;
        tensor.Run(weight, tensor.Operands.Round(input, rows, weight.Columns, weight.Format, stream), y, bias, accumulate: false, stream);
        return true;
    }

    /// <summary>
    /// Queries, keys and values of a few rows in one launch, the first two rotated; <paramref name="appended"/> says whether keys and values are in the cache. False where no kernel does that.
    /// </summary>
    public bool TryRotatedQkv(QkvWeights weights, NormedInput input, RopeTable rope, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan k, DeviceSpan v, AcceleratorStream stream, out bool appended)
    {
        appended = false;
        return !Prefers(batch.Rows, weights.Q, weights.K, weights.V) && Linear.TryQkv(weights, Inputs(input, batch.Rows), rope, shape, cache, batch, q, k, v, stream, out appended);
    }

    /// <summary>Queries, keys and values of many rows, which are normalised and rounded once for all three; nothing is rotated. False where no kernel does that.</summary>
    public bool TryQkv(QkvWeights weights, NormedInput input, int rows, DeviceSpan q, DeviceSpan k, DeviceSpan v, AcceleratorStream stream)
    {
        if (Tensor is not { } tensor || !GpuTensorMatMul.Serves(rows, weights.Q, weights.K, weights.V)) return false;
        var planes = tensor.Operands.Round(input, rows, weights.Q.Columns, weights.Q.Format, stream);
        tensor.Run(weights.Q, planes, q, weights.QBias, accumulate: false, stream);
        tensor.Run(weights.K, planes, k, weights.KBias, accumulate: false, stream);
        tensor.Run(weights.V, planes, v, weights.VBias, accumulate: false, stream);
        return true;
    }

    /// <summary>gate = silu(norm(x) · Gateᵀ) · (norm(x) · Upᵀ); false where no kernel does that.</summary>
    public bool TryGateUp(GateUpWeights weights, NormedInput input, int rows, DeviceSpan gate, AcceleratorStream stream)
    {
        if (!Prefers(rows, weights.Gate, weights.Up) && Linear.TryGateUp(weights, Inputs(input, rows), gate, stream)) return true;
        if (Tensor is not { } tensor || !GpuTensorMatMul.ServesGated(rows, weights.Gate, weights.Up)) return false;
        tensor.RunGated(weights, tensor.Operands.Round(input, rows, weights.Gate.Columns, weights.Gate.Format, stream), gate, stream);
        return true;
    }

    private bool Prefers(int rows, params ReadOnlySpan<WeightMatrix> weights) => Tensor is { } tensor && tensor.Prefers(rows, weights);

    private static LinearInputs Inputs(NormedInput input, int rows) => new(input.X, rows, input.Norm, input.Epsilon);

    public void Dispose() => Tensor?.Dispose();
}
