using System.Text.Json;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// Reads the channel configurations that the Double Sparsity authors publish: JSON with one ranking of all channels a query head (<c>q_proj</c>, <c>qk_proj</c>) or kv head (<c>k_proj</c>, which is absent
/// for some models), in the half-split order of Hugging Face. They hold no scales, so they serve fp16 labels and labels with per-token scales.
/// </summary>
public static class AuthorsChannelFile
{
    /// <summary>The statistics in order of preference; the paper's is first.</summary>
    private static readonly string[] s_statistics = ["qk", "q", "k"];

    /// <summary>Reads the paper's <c>qk</c> ranking, or <c>q</c>, or <c>k</c> where that is all there is.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of other sizes than <paramref name="config"/>.</exception>
    public static ChannelMap Load(string path, LlamaConfig config)
    {
        using var document = Parse(path);
        var statistic = s_statistics.FirstOrDefault(s => document.RootElement.TryGetProperty(Key(0, s), out _))
            ?? throw new ModelFormatException(path, $"has none of {string.Join(", ", s_statistics.Select(s => Key(0, s)))}");
        return Build(path, document.RootElement, config, statistic);
    }

    /// <summary>Reads the ranking by <paramref name="statistic"/>: qk, q or k.</summary>
    /// <exception cref="ModelFormatException">Damaged, without that statistic, or of other sizes than <paramref name="config"/>.</exception>
    public static ChannelMap Load(string path, LlamaConfig config, string statistic)
    {
        using var document = Parse(path);
        return Build(path, document.RootElement, config, statistic);
    }

    private static string Key(int layer, string statistic) => $"model.layers.{layer}.self_attn.{statistic}_proj";

    private static JsonDocument Parse(string path)
    {
        try
        {
            using var stream = File.OpenRead(path);
            var document = JsonDocument.Parse(stream);
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
            document.Dispose();
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, "is not JSON: " + e.Message, e);
        }
        throw new ModelFormatException(path, "is not a channel configuration: no object at the top");
    }

    private static ChannelMap Build(string path, JsonElement root, LlamaConfig config, string statistic)
    {
        var heads = new HeadChannels[config.Layers][];
        for (int layer = 0; layer < config.Layers; layer++)
        {
            string key = Key(layer, statistic);
            if (!root.TryGetProperty(key, out var rows) || rows.ValueKind != JsonValueKind.Array) throw new ModelFormatException(path, $"has no '{key}'; the model has {config.Layers} layers");
            int count = rows.GetArrayLength();
            if (count != config.Heads && count != config.KvHeads)
                throw new ModelFormatException(path, $"'{key}' ranks {count} heads; the model has {config.Heads} heads and {config.KvHeads} kv heads");
            heads[layer] = new HeadChannels[config.KvHeads];
            int perKvHead = count / config.KvHeads;
            for (int head = 0; head < config.KvHeads; head++)
            {
                // A group's rankings become one by the sum of ranks (Borda).
                var ranks = new int[config.HeadDim];
                for (int g = 0; g < perKvHead; g++) AddRanks(path, $"'{key}' head {head * perKvHead + g}", rows[head * perKvHead + g], ranks);
                heads[layer][head] = new HeadChannels([.. Enumerable.Range(0, config.HeadDim).OrderBy(c => ranks[c]).ThenBy(c => c).Select(c => InModelOrder(c, config))]);
            }
        }
        return new ChannelMap(path, statistic, config.HeadDim, config.RopeStyle, fingerprint: null, heads);
    }

    private static void AddRanks(string path, string where, JsonElement row, int[] ranks)
    {
        if (row.ValueKind != JsonValueKind.Array || row.GetArrayLength() != ranks.Length)
            throw new ModelFormatException(path, $"{where}: expected a ranking of {ranks.Length} channels");
        var seen = new bool[ranks.Length];
        int rank = 0;
        foreach (var element in row.EnumerateArray())
        {
            if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt32(out int channel) || (uint)channel >= (uint)ranks.Length || seen[channel])
                throw new ModelFormatException(path, $"{where}: {element} is repeated or no channel from 0 to {ranks.Length - 1}");
            seen[channel] = true;
            ranks[channel] += rank++;
        }
    }

    // Half-split channel c pairs with c + d/2; interleaved files hold the pair at 2i and 2i + 1.
    private static int InModelOrder(int c, LlamaConfig config) =>
        config.RopeStyle == RopeStyle.HalfSplit ? c : c * 2 % config.HeadDim + c * 2 / config.HeadDim;
}
