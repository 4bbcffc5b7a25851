namespace IlgpuSparse.Tests;

/// <summary>Where the files lie that tests read.</summary>
internal static class TestFiles
{
    public static string Data(params string[] parts) => Path.Combine([AppContext.BaseDirectory, "Data", .. parts]);

    public static string Model => Path.Combine(AppContext.BaseDirectory, "models", "books-16m-q8_0.gguf");
}
