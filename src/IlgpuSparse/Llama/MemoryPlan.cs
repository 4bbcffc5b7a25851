using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>Bytes that a decoder will take, known before anything is allocated.</summary>
/// <param name="Weights">The weights as stored in the file.</param>
/// <param name="KeysAndValues">K and V of all layers.</param>
/// <param name="Labels">What the attention policy keeps: labels, scores, token sets.</param>
/// <param name="Scratch">Activations, logits, and what the backend works with.</param>
public sealed record MemoryPlan(long Weights, long KeysAndValues, long Labels, long Scratch)
{
    /// <summary>K and V in pinned host memory, where they are kept there; <see cref="KeysAndValues"/> then is what of them is on the device, too.</summary>
    public long HostKeysAndValues { get; init; }

    /// <summary>The sum, host memory not counted.</summary>
    public long Total => Weights + KeysAndValues + Labels + Scratch;

    /// <summary>
    /// Refuses a plan that this machine's memory cannot hold. The operating system would hand it out and end the process when it is filled; a GPU's allocator says so itself.
    /// </summary>
    /// <exception cref="InsufficientMemoryException">It cannot; the message has both numbers and the knobs.</exception>
    public void CheckFits(ComputeBackend backend, long context)
    {
        const double GiB = 1L << 30;
        long needed = Total - Weights, there = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (backend is CpuBackend && needed > there)
        {
            throw new InsufficientMemoryException(
                $"a context of {context:N0} tokens needs {needed / GiB:0.0} GiB (K and V {KeysAndValues / GiB:0.0} GiB), this machine has {there / GiB:0.0} GiB: ask for a shorter one (--context) or a smaller format (--kv-type)");
        }
    }

    /// <summary>Plans a decoder for <paramref name="model"/> on a backend that allocates nothing for itself, as the CPU's.</summary>
    public static MemoryPlan For(ModelFile model, DecoderOptions options) => For(model, options, null);

    /// <summary>Plans a decoder for <paramref name="model"/> on <paramref name="backend"/>.</summary>
    public static MemoryPlan For(ModelFile model, DecoderOptions options, ComputeBackend? backend)
    {
        ArgumentNullException.ThrowIfNull(model);
        var formats = model.Tensors.Where(t => t.Shape.Count > 1).Select(t => t.Format).Distinct().ToList();
        return For(model.Config, model.Tensors.Sum(t => t.ByteLength), formats, options, backend);
    }

    /// <summary>Plans a decoder of <paramref name="config"/> with <paramref name="weights"/> bytes of weights, whose matrices are in <paramref name="formats"/>.</summary>
    public static MemoryPlan For(LlamaConfig config, long weights, IReadOnlyCollection<WeightFormat> formats, DecoderOptions options, ComputeBackend? backend)
    {
        ArgumentNullException.ThrowIfNull(options);
        options = options.Resolve(backend, config);
        bool host = options.KvPlacement == KvPlacement.Host;
        return new MemoryPlan(
            weights,
            host ? HostKvCache.PlannedDeviceBytes(config, options) : KvCache.PlannedBytes(config, options.KvFormat, options.Capacity),
            options.Attention.PlannedBytes(config, options),
            LlamaDecoder.ScratchBytes(config, options) + (backend?.WorkingBytes(config, formats, LlamaDecoder.MaxRows(options)) ?? 0))
        {
            HostKeysAndValues = host ? HostKvCache.PlannedHostBytes(config, options) : 0,
        };
    }
}
