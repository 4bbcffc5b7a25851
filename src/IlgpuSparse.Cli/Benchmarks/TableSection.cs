using System.Text;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One table of results, for the console and for Markdown. Columns that hold nothing are left out.</summary>
internal sealed class TableSection
{
    private readonly string _title;
    private readonly string[] _names;
    private readonly List<(Style Style, string[] Cells)> _rows;

    private TableSection(string title, string[] names, List<(Style, string[])> rows) => (_title, _names, _rows) = (title, names, rows);

    /// <summary>Lays <paramref name="rows"/> out under <paramref name="title"/>.</summary>
    public static TableSection Create<T>(string title, IReadOnlyList<T> rows, IReadOnlyList<(string Name, Func<T, string> Text)> columns, Func<T, Style> style)
    {
        var filled = columns.Where(c => rows.Any(r => c.Text(r).Length > 0)).ToList();
        return new TableSection(title, [.. filled.Select(c => c.Name)], [.. rows.Select(r => (style(r), filled.Select(c => c.Text(r)).ToArray()))]);
    }

    /// <summary>All of <paramref name="sections"/> to <paramref name="console"/>, at full width where it is no terminal.</summary>
    public static void Write(IAnsiConsole console, IEnumerable<TableSection> sections)
    {
        if (!console.Profile.Out.IsTerminal) console.Profile.Width = Math.Max(console.Profile.Width, 240);
        foreach (var section in sections)
        {
            var table = new Table().Border(TableBorder.Rounded);
            foreach (string name in section._names) table.AddColumn(new TableColumn(name));
            foreach (var (style, cells) in section._rows) table.AddRow(cells.Select(c => new Text(c, style)));
            if (section._title.Length > 0) console.WriteLine(section._title);
            console.Write(table);
        }
    }

    /// <summary>All of <paramref name="sections"/> for documents.</summary>
    public static string ToMarkdown(IEnumerable<TableSection> sections)
    {
        var text = new StringBuilder();
        foreach (var section in sections)
        {
            if (text.Length > 0) text.Append('\n');
            if (section._title.Length > 0) text.Append(section._title).Append("\n\n");
            Line(section._names);
            Line(section._names.Select(_ => "---"));
            foreach (var (_, cells) in section._rows) Line(cells.Select(c => c.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ")));
        }
        return text.ToString();

        void Line(IEnumerable<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
    }
}
