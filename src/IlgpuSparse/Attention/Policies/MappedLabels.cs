using System.Security.Cryptography;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Attention.Policies;

/// <summary>What one channel map makes of the labels of all sparse layers: tables, and for rotated labels projections, over codes that belong to the policy and outlive it.</summary>
internal sealed class MappedLabels : IDisposable
{
    private readonly LabelLayer?[] _layers;
    private readonly (HeadProjection Keys, HeadProjection Queries)?[] _projections;

    /// <summary>Uploads the tables.</summary>
    /// <param name="backend">Where to.</param>
    /// <param name="config">The model.</param>
    /// <param name="options">The labels.</param>
    /// <param name="map">Checked already.</param>
    /// <param name="codes">By layer, with the scales of tokens where labels have such; null where a layer is dense.</param>
    /// <param name="rows">Most rows of a step.</param>
    /// <param name="capacity">Tokens of the cache.</param>
    public MappedLabels(
        ComputeBackend backend, LlamaConfig config, AttentionOptions options, ChannelMap map, IReadOnlyList<(DeviceBuffer Codes, DeviceBuffer? Scales)?> codes, int rows, int capacity)
    {
        Map = map;
        _layers = new LabelLayer?[config.Layers];
        _projections = new (HeadProjection, HeadProjection)?[config.Layers];
        try
        {
            for (int layer = 0; layer < config.Layers; layer++)
            {
                if (codes[layer] is not { } store) continue;
                var tables = new LabelTables(config, options, map, layer);
                _layers[layer] = tables.CreateLayer(backend, store.Codes, store.Scales);
                _projections[layer] = tables.CreateProjections(backend, config.HeadDim);
                Outputs = Math.Max(Outputs, tables.Outputs);
            }
            if (options.HeadBudgets) Budgets = new HeadBudgets(backend, config, options, map, rows, capacity);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The map.</summary>
    public ChannelMap Map { get; }

    /// <summary>Most numbers a head after projection, of any layer; 0 without one.</summary>
    public int Outputs { get; }

    /// <summary>How the map deals the budget out; null where all heads have the same.</summary>
    public HeadBudgets? Budgets { get; }

    /// <summary>By layer; null where it is dense.</summary>
    public IReadOnlyList<LabelLayer?> Layers => _layers;

    /// <summary>By layer; null where labels are of channels.</summary>
    public IReadOnlyList<(HeadProjection Keys, HeadProjection Queries)?> Projections => _projections;

    /// <summary>What tells these labels from those of other channels, 16 hexadecimal digits.</summary>
    public string Fingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var labels in _layers)
            foreach (var table in (DeviceBuffer?[])[labels?.ChannelIndices, labels?.Offsets, labels?.Steps])
                if (table is not null) hash.AppendData(((DeviceSpan)table).ToArray<byte>((int)table.ByteLength));
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 8));
    }

    /// <summary>Frees the tables; the codes stay.</summary>
    public void Dispose()
    {
        foreach (var layer in _layers)
            foreach (var table in (DeviceBuffer?[])[layer?.ChannelIndices, layer?.Offsets, layer?.Steps, layer?.Planes, layer?.QuantiserSteps]) table?.Dispose();
        Budgets?.Dispose();
        foreach (var projections in _projections)
        {
            projections?.Keys.Dispose();
            projections?.Queries.Dispose();
        }
    }
}
