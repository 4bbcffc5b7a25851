namespace IlgpuSparse.Model;

/// <summary>A Hugging Face directory.</summary>
public sealed class HuggingFaceModel(string path) : ModelFile
{
    /// <inheritdoc/>
    public override string Path => path;
    /// <inheritdoc/>
    public override LlamaConfig Config => throw new ModelFormatException(path, "draft");
    /// <inheritdoc/>
    public override IReadOnlyCollection<ModelTensor> Tensors => [];
    /// <inheritdoc/>
    public override TokenizerData? Tokenizer => null;
    /// <inheritdoc/>
    public override ModelTensor? Find(string name) => null;
    /// <inheritdoc/>
    public override string Fingerprint => "";
    /// <inheritdoc/>
    public override void Dispose() { }
}
