using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The error stream, where progress goes while standard output is for results.</summary>
internal static class ProgressConsole
{
    /// <summary>A console on it.</summary>
    public static IAnsiConsole Instance { get; } = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
}
