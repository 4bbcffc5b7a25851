namespace IlgpuSparse.Model;

/// <summary>
/// A mapped Hugging Face directory: <c>config.json</c>, and <c>model.safetensors</c> or the shards that <c>model.safetensors.index.json</c> names. Model types llama, mistral, mixtral, qwen2.
/// </summary>
public sealed class HuggingFaceModel : ModelFile
{
    private const string SingleFile = "model.safetensors";
    private const string IndexFile = "model.safetensors.index.json";

    private readonly Dictionary<string, SafetensorsFile> _shards = [];
    private readonly Dictionary<string, SafetensorsFile> _shardOf = [];
    private readonly Dictionary<string, ModelTensor> _tensors = [];
    private readonly Lazy<TokenizerData?> _tokenizer;
    private readonly Lazy<string> _fingerprint;

    /// <summary>Maps the files of directory <paramref name="path"/> and checks that they hold every weight that the configuration asks for.</summary>
    /// <exception cref="ModelFormatException">Damaged, contradictory or unsupported.</exception>
    /// <exception cref="DirectoryNotFoundException">Nothing there.</exception>
    public HuggingFaceModel(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!Directory.Exists(path)) throw new DirectoryNotFoundException($"{path}: no such directory");
        Path = path;
        using var config = JsonFile.OpenIfPresent(In("config.json")) ?? throw new ModelFormatException(path, "the directory has no config.json");
        using var generation = JsonFile.OpenIfPresent(In("generation_config.json"));
        Config = LlamaConfigJson.Read(config, generation);
        try
        {
            if (File.Exists(In(SingleFile))) MapSingle();
            else if (File.Exists(In(IndexFile))) MapShards();
            else throw new ModelFormatException(path, $"the directory has neither {SingleFile} nor {IndexFile}{Hint()}");
            foreach (var (name, shard) in _shardOf)
            {
                if (shard.FindEntry(name)!.IsWeight) _tensors.Add(name, shard.Find(name)!);
            }
            Validate();
        }
        catch
        {
            Dispose();
            throw;
        }
        _tokenizer = new Lazy<TokenizerData?>(() => HuggingFaceTokenizer.Read(path, Config));
        _fingerprint = new Lazy<string>(() => WeightFingerprint.Of(Tensors));
    }

    /// <inheritdoc/>
    public override string Path { get; }

    /// <inheritdoc/>
    public override LlamaConfig Config { get; }

    /// <inheritdoc/>
    /// <remarks>Tensors of a dtype that no weight is stored in are left out.</remarks>
    public override IReadOnlyCollection<ModelTensor> Tensors => _tensors.Values;

    /// <inheritdoc/>
    /// <exception cref="ModelFormatException">It has one of a kind that is not supported, or that contradicts itself.</exception>
    public override TokenizerData? Tokenizer => _tokenizer.Value;

    /// <inheritdoc/>
    public override string Fingerprint => _fingerprint.Value;

    /// <inheritdoc/>
    /// <exception cref="ModelFormatException">Its dtype is not one that weights are stored in.</exception>
    public override ModelTensor? Find(string name) => _tensors.GetValueOrDefault(name) ?? _shardOf.GetValueOrDefault(name)?.Find(name);

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (var shard in _shards.Values) shard.Dispose();
    }

    private string In(string name) => System.IO.Path.Combine(Path, name);

    private void MapSingle()
    {
        var file = new SafetensorsFile(In(SingleFile));
        _shards.Add(SingleFile, file);
        foreach (var entry in file.Entries) _shardOf.Add(entry.Name, file);
    }

    private void MapShards()
    {
        using var index = JsonFile.Open(In(IndexFile));
        var map = index.FindObject("weight_map") ?? throw index.Bad("has no 'weight_map'");
        foreach (var entry in map.Root.EnumerateObject())
        {
            string name = entry.Name, shard = map.Text(entry.Value);
            // A plain name: the files of a model lie in its directory, and a file from elsewhere must not be read because an index says so.
            if (shard.Length == 0 || shard is "." or ".." || shard.AsSpan().IndexOfAny('/', '\\', ':') >= 0 || shard.Contains('\0'))
                throw index.Bad($"places tensor '{name}' in '{shard}', which is not the name of a file in the directory");
            if (!_shards.TryGetValue(shard, out var file))
            {
                if (!File.Exists(In(shard))) throw index.Bad($"the shard '{shard}' is missing");
                file = new SafetensorsFile(In(shard));
                _shards.Add(shard, file);
            }
            if (file.FindEntry(name) is null) throw new ModelFormatException(file.Path, $"has no tensor '{name}', which {IndexFile} places there");
            _shardOf.Add(name, file);
        }
    }

    private string Hint()
    {
        if (File.Exists(In("pytorch_model.bin")) || File.Exists(In("pytorch_model.bin.index.json"))) return "; pytorch_model.bin is not supported, convert it to safetensors";
        return Directory.EnumerateFiles(Path, "*.gguf").Order().FirstOrDefault() is string gguf ? $"; to open the GGUF file in it, name the file: {gguf}" : "";
    }
}
