namespace IlgpuSparse.Model;

/// <summary>A model, tokenizer or channel file is damaged, contradictory or of a kind that is not supported. The message names the file and the value.</summary>
public sealed class ModelFormatException : Exception
{
    /// <summary>Composes "<paramref name="file"/>: <paramref name="problem"/>".</summary>
    public ModelFormatException(string file, string problem, Exception? inner = null)
        : base($"{file}: {problem}", inner) => File = file;

    /// <summary>The file at fault.</summary>
    public string File { get; }
}
