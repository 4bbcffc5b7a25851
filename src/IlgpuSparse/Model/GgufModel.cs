using System.Globalization;

namespace IlgpuSparse.Model;

/// <summary>A mapped GGUF file of architecture <c>llama</c> (Llama, Mistral, Mixtral) or <c>qwen2</c>, version 2 or 3. The format is described in ggml's <c>docs/gguf.md</c>.</summary>
public sealed class GgufModel : ModelFile
{
    private readonly GgufFile _gguf;
    private readonly Dictionary<string, ModelTensor> _byHuggingFaceName = [];
    private readonly Lazy<TokenizerData?> _tokenizer;
    private readonly Lazy<string> _fingerprint;

    /// <summary>Maps <paramref name="path"/> and checks that it holds every weight that its configuration asks for.</summary>
    /// <exception cref="ModelFormatException">Damaged, contradictory or unsupported.</exception>
    /// <exception cref="FileNotFoundException">Nothing there.</exception>
    public GgufModel(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        _gguf = new GgufFile(path);
        try
        {
            Config = GgufConfig.Read(_gguf);
            foreach (var tensor in _gguf.Tensors.Values) Map(tensor);
            Validate();
        }
        catch
        {
            _gguf.Dispose();
            throw;
        }
        _tokenizer = new Lazy<TokenizerData?>(() => GgufTokenizer.Read(_gguf));
        _fingerprint = new Lazy<string>(() => WeightFingerprint.Of(Tensors));
    }

    /// <inheritdoc/>
    public override string Path => _gguf.Path;

    /// <inheritdoc/>
    public override LlamaConfig Config { get; }

    /// <inheritdoc/>
    public override IReadOnlyCollection<ModelTensor> Tensors => _gguf.Tensors.Values;

    /// <inheritdoc/>
    /// <exception cref="ModelFormatException">It has one of a kind that is not supported, or that contradicts itself.</exception>
    public override TokenizerData? Tokenizer => _tokenizer.Value;

    /// <inheritdoc/>
    public override string Fingerprint => _fingerprint.Value;

    /// <inheritdoc/>
    public override ModelTensor? Find(string name) => _byHuggingFaceName.GetValueOrDefault(name);

    /// <inheritdoc/>
    public override void Dispose() => _gguf.Dispose();

    private void Map(ModelTensor tensor)
    {
        if (GgufNames.ToHuggingFace(tensor.Name) is string name)
        {
            if (!_byHuggingFaceName.TryAdd(name, tensor)) throw Twice(tensor);
        }
        else if (GgufNames.ToHuggingFaceExperts(tensor.Name) is string experts)
        {
            if (tensor.Shape.Count != 3 || tensor.Shape[0] != Config.Experts)
                throw new ModelFormatException(Path, $"tensor '{tensor.Name}' has shape [{string.Join(", ", tensor.Shape)}], the configuration asks for a stack of {Config.Experts} experts");
            for (int e = 0; e < Config.Experts; e++)
            {
                if (!_byHuggingFaceName.TryAdd(string.Format(CultureInfo.InvariantCulture, experts, e), tensor.Slice(e))) throw Twice(tensor);
            }
        }
    }

    private ModelFormatException Twice(ModelTensor tensor) => new(Path, $"the experts of tensor '{tensor.Name}' occur a second time under another name");
}
