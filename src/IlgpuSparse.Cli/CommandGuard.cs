using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary>Turns what can go wrong in a command into one line on the error stream and an exit code: 1 for bad input, 130 for a cancelled run.</summary>
internal static class CommandGuard
{
    private static readonly IAnsiConsole s_errors = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });

    /// <summary>Runs <paramref name="body"/> away from the thread that listens for Ctrl-C.</summary>
    public static async Task<int> Run(Func<int> body)
    {
        try
        {
            return await Task.Run(body);
        }
        catch (OperationCanceledException)
        {
            s_errors.MarkupLine("[yellow]cancelled[/]");
            return 130;
        }
        catch (Exception e) when (e is ModelFormatException or ArgumentException or FormatException or IOException or UnauthorizedAccessException
            or InsufficientMemoryException or NotSupportedException or InvalidOperationException or ArithmeticException)
        {
            s_errors.Write(new Markup("[red]error:[/] "));
            s_errors.WriteLine(e.Message);
            return 1;
        }
    }
}
