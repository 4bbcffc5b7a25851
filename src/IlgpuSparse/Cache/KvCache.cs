using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cache;

/// <summary>
/// K and V of every layer for all sequences of a decoder: a pool of blocks of <see cref="KvLayer.BlockTokens"/> tokens from which sequences grow. A block id means the
/// same place in every layer, and in the label cache. The bytes are known before anything is allocated (<see cref="PlannedBytes"/>).
/// </summary>
public class KvCache : IDisposable
{
    private readonly Stack<int> _free = new();
    private readonly int[] _holders;
    private readonly List<KvLayer> _layers = [];

    /// <summary>Makes room for <paramref name="capacity"/> tokens (rounded up to whole blocks).</summary>
    /// <exception cref="NotSupportedException">The backend cannot store <paramref name="format"/>.</exception>
    /// <exception cref="InsufficientMemoryException">The device has not that much; the message names the knob.</exception>
    public KvCache(ComputeBackend backend, LlamaConfig config, KvFormat format, int capacity)
        : this(backend, config, format, capacity, bytes => backend.Allocate(bytes, "kv"))
    {
    }

    /// <summary>As the other, with the memory for K and V of a layer from <paramref name="allocate"/>.</summary>
    private protected KvCache(ComputeBackend backend, LlamaConfig config, KvFormat format, int capacity, Func<long, DeviceBuffer> allocate)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, int.MaxValue - KvLayer.BlockTokens); // rounded up it is still a number of tokens
        if (!backend.Supports(format)) throw new NotSupportedException($"the {backend.Name} backend does not store K and V as {format}");
        Format = format;
        Blocks = BlocksFor(capacity);
        _holders = new int[Blocks];
        for (int block = Blocks - 1; block >= 0; block--) _free.Push(block);
        long rows = (long)Blocks * KvLayer.BlockTokens * config.KvHeads;
        long bytes = rows * config.HeadDim * format.ElementBytes();
        try
        {
            for (int layer = 0; layer < config.Layers; layer++)
            {
                var owned = new List<DeviceBuffer>();
                try
                {
                    bool scaled = format == KvFormat.Int8;
                    owned.Add(allocate(bytes));
                    owned.Add(allocate(bytes));
                    if (scaled) owned.Add(backend.Allocate(rows * sizeof(float), "kv"));
                    if (scaled) owned.Add(backend.Allocate(rows * sizeof(float), "kv"));
                    _layers.Add(new KvLayer(format, owned[0], owned[1], scaled ? owned[2] : null, scaled ? owned[3] : null));
                }
                catch
                {
                    foreach (var buffer in owned) buffer.Dispose();
                    throw;
                }
            }
        }
        catch (InsufficientMemoryException e)
        {
            FreeLayers();
            throw new InsufficientMemoryException(
                $"K and V of {Blocks * KvLayer.BlockTokens:N0} tokens need {PlannedBytes(config, format, capacity):N0} bytes: {e.Message}. Ask for a shorter context (--context) or a smaller format (--kv-type).", e);
        }
        catch
        {
            FreeLayers();
            throw;
        }
    }

    /// <summary>Element type.</summary>
    public KvFormat Format { get; }

    /// <summary>Blocks in the pool.</summary>
    public int Blocks { get; }

    /// <summary>Blocks that no sequence holds.</summary>
    public int FreeBlocks => _free.Count;

    /// <summary>Tokens that fit.</summary>
    public int Capacity => Blocks * KvLayer.BlockTokens;

    /// <summary>K and V by layer.</summary>
    public IReadOnlyList<KvLayer> Layers => _layers;

    /// <summary>Blocks for <paramref name="tokens"/>.</summary>
    public static int BlocksFor(int tokens) => (int)(((long)tokens + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens);

    /// <summary>Bytes of K and V one token takes over all layers.</summary>
    public static long BytesPerToken(LlamaConfig config, KvFormat format) =>
        2L * config.Layers * config.KvHeads * (config.HeadDim * format.ElementBytes() + (format == KvFormat.Int8 ? sizeof(float) : 0));

    /// <summary>Bytes that a cache for <paramref name="capacity"/> tokens allocates.</summary>
    public static long PlannedBytes(LlamaConfig config, KvFormat format, int capacity) =>
        (long)BlocksFor(capacity) * KvLayer.BlockTokens * BytesPerToken(config, format);

    /// <summary>Starts an empty sequence.</summary>
    public CacheSequence NewSequence() => new(this);

    internal int Take()
    {
        if (!_free.TryPop(out int block))
            throw new InvalidOperationException($"the cache is full: all {Blocks} blocks of {KvLayer.BlockTokens} tokens ({Capacity:N0} tokens) are in use. Ask for a longer context (--context).");
        _holders[block] = 1;
        return block;
    }

    /// <summary>Lets another sequence hold <paramref name="block"/>, too.</summary>
    internal void Share(int block) => _holders[block]++;

    /// <summary>Whether several sequences hold <paramref name="block"/>: none of them may write to it.</summary>
    internal bool IsShared(int block) => _holders[block] > 1;

    /// <summary>Whether any sequence holds <paramref name="block"/>.</summary>
    internal bool IsHeld(int block) => _holders[block] > 0;

    /// <summary>Ends one sequence's hold of <paramref name="block"/>; it is free when nobody holds it.</summary>
    internal virtual void Return(int block)
    {
        if (--_holders[block] == 0) _free.Push(block);
    }

    /// <summary>Tokens that steps may have read are gone from a sequence: what lies at their places will be other tokens.</summary>
    internal virtual void Forget() { }

    /// <summary>Before a pass over the rows of <paramref name="batch"/>, whose blocks are reserved.</summary>
    internal virtual void Prepare(StepBatch batch) { }

    /// <summary>What a recorded step over <paramref name="batch"/> has of places in the cache that only the host knows: it serves steps with the same alone.</summary>
    internal virtual int[] Layout(StepBatch batch) => [];

    /// <summary>Exchanges the layers for ones that carry more.</summary>
    private protected void Equip(Func<KvLayer, int, KvLayer> equip)
    {
        for (int i = 0; i < _layers.Count; i++) _layers[i] = equip(_layers[i], i);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees K and V.</summary>
    protected virtual void Dispose(bool disposing) => FreeLayers();

    private void FreeLayers()
    {
        foreach (var layer in _layers)
        {
            layer.K.Dispose();
            layer.V.Dispose();
            layer.KScales?.Dispose();
            layer.VScales?.Dispose();
        }
        _layers.Clear();
    }
}
