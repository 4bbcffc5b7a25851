namespace IlgpuSparse.Cli;

/// <summary>The files that travel with the tool: the default model, its channel map, a long text to continue.</summary>
internal static class EmbeddedModel
{
    private static readonly string s_folder = Path.Combine(AppContext.BaseDirectory, "models");

    /// <summary>The default model.</summary>
    public static string ModelPath => Path.Combine(s_folder, "books-16m-q8_0.gguf");

    /// <summary>About 7,000 tokens of a book that the default model has not seen.</summary>
    public static string PromptPath => Path.Combine(s_folder, "prompt.txt");

    /// <summary>Prose that the default model's channels were calibrated on, a part of it.</summary>
    public static string CalibrationTextPath => Path.Combine(s_folder, "calibration.txt");

    /// <summary>The channel map that belongs to <paramref name="modelPath"/>: beside it, its name with <c>.channels.json</c>; null when there is none.</summary>
    public static string? ChannelMapFor(string modelPath)
    {
        string path = DefaultChannelMapPath(modelPath);
        return File.Exists(path) ? path : null;
    }

    /// <summary>Where <see cref="ChannelMapFor"/> looks.</summary>
    public static string DefaultChannelMapPath(string modelPath) => Directory.Exists(modelPath)
        ? Path.Combine(modelPath, "model.channels.json")
        : Path.ChangeExtension(modelPath, ".channels.json");
}
