using System.CommandLine;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>What every command that measures ends with: the document or its tables on the screen, the tables as Markdown, and the plots, as the command line asks.</summary>
internal static class ResultReport
{
    /// <summary>The command line, for documents.</summary>
    public static string CommandLine(ParseResult arguments) => "ilgpusparse " + string.Join(' ', arguments.Tokens.Select(t => t.Value));

    /// <summary>Writes it.</summary>
    /// <param name="document">Written as JSON when <paramref name="json"/> is set.</param>
    /// <param name="summary">Above the tables.</param>
    /// <param name="sections">The tables.</param>
    /// <param name="json">Whether to write the document instead of the tables.</param>
    /// <param name="markdown">File for Markdown; null for none.</param>
    /// <param name="plotDirectory">Directory of plots; null for none.</param>
    /// <param name="plots">Writes the plots there and returns their names.</param>
    public static void Write(object document, string summary, IReadOnlyList<TableSection> sections, bool json, string? markdown, string? plotDirectory, Func<string, IReadOnlyList<string>> plots)
    {
        if (json) JsonOutput.Write(document);
        else
        {
            Console.Out.WriteLine(summary);
            TableSection.Write(AnsiConsole.Console, sections);
        }
        if (markdown is not null) File.WriteAllText(markdown, $"{summary}\n\n{TableSection.ToMarkdown(sections)}");
        if (plotDirectory is null) return;
        foreach (string file in plots(plotDirectory)) ProgressConsole.Instance.WriteLine(file);
    }
}
