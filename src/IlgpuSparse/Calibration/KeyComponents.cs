using System.Text.Json;
using System.Text.Json.Serialization;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>The principal components of a model's keys after RoPE, by layer and kv head: an orthonormal basis in order of falling variance, for Loki (arXiv 2406.02542).</summary>
public sealed partial class KeyComponents
{
    /// <summary>Version of the file format that is written.</summary>
    public const int Version = 1;

    private const int MostChannels = 256;

    private readonly float[][][] _heads;

    /// <summary>Takes <paramref name="heads"/> <c>[layer][kvHead][component · headDim + channel]</c>.</summary>
    /// <exception cref="ModelFormatException">Sizes that differ, or a basis that is not orthonormal; <paramref name="source"/> is named.</exception>
    internal KeyComponents(string source, int headDim, RopeStyle ropeStyle, string? fingerprint, float[][][] heads)
    {
        (Source, HeadDim, RopeStyle, Fingerprint, _heads) = (source, headDim, ropeStyle, fingerprint, heads);
        Check();
    }

    /// <summary>The file it came from, or how it was made; for messages.</summary>
    public string Source { get; }

    /// <summary>Channels a head, d.</summary>
    public int HeadDim { get; }

    /// <summary>The pairing that the channel numbers refer to.</summary>
    public RopeStyle RopeStyle { get; }

    /// <summary><see cref="ModelFile.Fingerprint"/> of the model it was made with.</summary>
    public string? Fingerprint { get; }

    /// <summary>The basis of one kv head, <c>[component, headDim]</c>.</summary>
    public ReadOnlySpan<float> this[int layer, int kvHead] => _heads[layer][kvHead];

    /// <summary>Checks that it has the shape of <paramref name="config"/>.</summary>
    /// <exception cref="ModelFormatException">Other sizes or another channel order.</exception>
    public void CheckFits(LlamaConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        if (_heads.Length != config.Layers || _heads[0].Length != config.KvHeads || HeadDim != config.HeadDim || RopeStyle != config.RopeStyle)
        {
            throw new ModelFormatException(Source,
                $"is for {_heads.Length} layers, {_heads[0].Length} kv heads of {HeadDim} channels in {RopeStyle} pairs; the model has {config.Layers}, {config.KvHeads} of {config.HeadDim} in {config.RopeStyle} ones");
        }
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of another version.</exception>
    public static KeyComponents Load(string path)
    {
        Form? form;
        try
        {
            using var stream = File.OpenRead(path);
            form = JsonSerializer.Deserialize(stream, FormContext.Default.Form);
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, "holds no principal components: " + e.Message, e);
        }
        if (form is null) throw new ModelFormatException(path, "holds no principal components, but null");
        if (form.Version != Version) throw new ModelFormatException(path, $"holds principal components of version {form.Version}, this program reads version {Version}");
        return new KeyComponents(path, form.HeadDim, form.RopeStyle, form.Fingerprint, form.Components);
    }

    /// <summary>Writes JSON. The file appears whole or not at all.</summary>
    public void Save(string path)
    {
        string temporary = path + ".partial";
        using (var stream = File.Create(temporary))
            JsonSerializer.Serialize(stream, new Form { Version = Version, HeadDim = HeadDim, RopeStyle = RopeStyle, Fingerprint = Fingerprint, Components = _heads }, FormContext.Default.Form);
        File.Move(temporary, path, overwrite: true);
    }

    private void Check()
    {
        if (HeadDim is < 1 or > MostChannels) throw new ModelFormatException(Source, $"head size {HeadDim} is outside 1 to {MostChannels}");
        if (_heads.Length == 0 || _heads[0] is not { Length: > 0 }) throw new ModelFormatException(Source, "has no layers");
        for (int layer = 0; layer < _heads.Length; layer++)
        {
            if (_heads[layer]?.Length != _heads[0].Length) throw new ModelFormatException(Source, $"layer {layer} has {_heads[layer]?.Length ?? 0} kv heads, layer 0 has {_heads[0].Length}");
            for (int head = 0; head < _heads[layer].Length; head++)
            {
                if (_heads[layer][head] is not { } basis || basis.Length != HeadDim * HeadDim) throw new ModelFormatException(Source, $"layer {layer} kv head {head}: expected {HeadDim} components of {HeadDim} channels");
                for (int i = 0; i < HeadDim; i++)
                {
                    var component = basis.AsSpan(i * HeadDim, HeadDim);
                    double norm = 0;
                    foreach (float x in component) norm += (double)x * x;
                    // also where a number is none
                    if (!(Math.Abs(norm - 1) < 1e-3)) throw new ModelFormatException(Source, $"layer {layer} kv head {head}: component {i} has the norm {Math.Sqrt(norm)}, not 1");
                }
            }
        }
    }

    /// <summary>The file form.</summary>
    internal sealed class Form
    {
        public required int Version { get; init; }
        public required int HeadDim { get; init; }
        public required RopeStyle RopeStyle { get; init; }
        public string? Fingerprint { get; init; }

        /// <summary><c>[layer][kvHead][component · headDim + channel]</c>.</summary>
        public required float[][][] Components { get; init; }
    }

    /// <summary>Source-generated serialisation of <see cref="Form"/>.</summary>
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
    [JsonSerializable(typeof(Form))]
    private sealed partial class FormContext : JsonSerializerContext;
}
