using System.Text.RegularExpressions;
using ILGPU.Runtime;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary>Turns what can go wrong in a command into one message on the error stream and an exit code: 1 for bad input, 130 for a cancelled run.</summary>
internal static class CommandGuard
{
    /// <summary>The exit code of a run that was cancelled: what shells report for Ctrl-C.</summary>
    public const int Cancelled = 130;

    /// <summary>Runs <paramref name="body"/> away from the thread that listens for Ctrl-C.</summary>
    public static async Task<int> Run(Func<int> body)
    {
        try
        {
            return await Task.Run(body);
        }
        catch (OperationCanceledException)
        {
            Write("[yellow]cancelled[/]", "");
            return Cancelled;
        }
        catch (Exception e) when (e is ModelFormatException or ChatTemplateException or EngineBusyException or ArgumentException or FormatException or IOException or UnauthorizedAccessException or OutOfMemoryException
            or NotSupportedException or InvalidOperationException or ArithmeticException or RegexMatchTimeoutException or AcceleratorException or CudaDriverException)
        {
            Write("[red]error:[/] ", Message(e));
            return 1;
        }
    }

    private static void Write(string markup, string text)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        console.Profile.Width = int.MaxValue; // lines are the terminal's business: a path in two pieces cannot be copied
        console.Markup(markup);
        console.WriteLine(text);
    }

    // Without the parameter of the method that complained: a user knows options, not methods.
    private static string Message(Exception e) =>
        e is ArgumentException { ParamName: not null } && e.Message.IndexOf(" (Parameter '", StringComparison.Ordinal) is > 0 and int end ? e.Message[..end] : e.Message;
}
