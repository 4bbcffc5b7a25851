namespace IlgpuSparse.Model;

/// <summary>
/// A model on disk, memory-mapped: configuration, weights by Hugging Face name, tokenizer. Disposing it unmaps the weights,
/// so it must outlive every decoder that computes with them in place.
/// </summary>
public abstract class ModelFile : IDisposable
{
    /// <summary>What was opened: a <c>.gguf</c> file or a Hugging Face directory.</summary>
    public abstract string Path { get; }

    /// <summary>Shapes and constants of the model.</summary>
    public abstract LlamaConfig Config { get; }

    /// <summary>All tensors of the file(s), by their name in the file.</summary>
    public abstract IReadOnlyCollection<ModelTensor> Tensors { get; }

    /// <summary>The tokenizer that the file carries, or null when it has none.</summary>
    public abstract TokenizerData? Tokenizer { get; }

    /// <summary>
    /// Looks a weight up by its Hugging Face name, e.g. <c>model.layers.3.self_attn.q_proj.weight</c> or
    /// <c>model.layers.0.block_sparse_moe.experts.2.w1.weight</c>, whatever the file calls it. Null when absent.
    /// </summary>
    public abstract ModelTensor? Find(string name);

    /// <summary>As <see cref="Find"/>, checked against the shape that the configuration asks for.</summary>
    /// <exception cref="ModelFormatException">Absent, or of another shape.</exception>
    public ModelTensor Require(string name, params ReadOnlySpan<long> shape)
    {
        var tensor = Find(name) ?? throw new ModelFormatException(Path, $"has no tensor for '{name}'");
        if (!tensor.Shape.SequenceEqual(shape.ToArray()))
        {
            throw new ModelFormatException(tensor.File,
                $"tensor '{tensor.Name}' has shape [{string.Join(", ", tensor.Shape)}], the configuration asks for [{string.Join(", ", shape.ToArray())}]");
        }
        return tensor;
    }

    /// <summary>
    /// A short stable identity of the weights (hash of names, shapes, formats and sampled bytes): channel maps and state files name it, so that they
    /// are not used with a foreign model.
    /// </summary>
    public abstract string Fingerprint { get; }

    /// <summary>Checks that every weight a decoder of <see cref="Config"/> needs is there, so that a contradiction is found when the file is opened.</summary>
    /// <exception cref="ModelFormatException">One is absent, of another shape, or a vector is stored in blocks.</exception>
    internal void Validate()
    {
        foreach (var (name, shape) in WeightPlan.Of(Config))
        {
            var tensor = Require(name, shape);
            if (shape.Length == 1 && tensor.Format.BlockElements() != 1)
                throw new ModelFormatException(tensor.File, $"tensor '{tensor.Name}' is stored as {tensor.Format}; norms and biases must be F32, F16 or BF16");
        }
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>Opens a <c>.gguf</c> file, or a directory with <c>config.json</c> and safetensors.</summary>
    /// <exception cref="ModelFormatException">Damaged, contradictory or unsupported.</exception>
    /// <exception cref="FileNotFoundException">Nothing there.</exception>
    public static ModelFile Open(string path)
    {
        if (Directory.Exists(path)) return new HuggingFaceModel(path);
        if (!File.Exists(path)) throw new FileNotFoundException($"{path}: no such model file or directory", path);
        return new GgufModel(path);
    }
}
