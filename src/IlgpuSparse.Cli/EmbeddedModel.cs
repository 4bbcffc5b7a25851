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
}
