using System.Text;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Rows as tables on the console and in Markdown: one for each head layout, storage, attention and batch. Columns that hold nothing are left out.</summary>
internal sealed class BenchTable
{
    private sealed record Column(string Name, Func<BenchRow, string> Text);

    private sealed record Section(string Title, string[] Names, List<(BenchRow Row, string[] Cells)> Rows);

    private static readonly Column[] s_columns =
    [
        new("what", r => r.What),
        new("context", r => r.Context > 0 ? $"{r.Context:N0}" : ""),
        new("outputs", r => r.Outputs is { } outputs ? $"{outputs:N0}" : ""),
        new("inputs", r => r.Inputs is { } inputs ? $"{inputs:N0}" : ""),
        new("rows", r => r.Weights is not null ? $"{r.Batch}" : ""),
        new("graph µs", r => Time(r.Graph)),
        new("launched µs", r => Time(r.Launched)),
        new("kernels", r => r.Nodes is { } nodes ? $"{nodes:0.#}" : ""),
        new("layers", r => r.Layers is { } layers ? $"{layers}" : ""),
        new("bytes", r => r.Bytes is { } bytes ? Bytes.Text(bytes) : ""),
        new("GB/s", r => r.GigabytesPerSecond is { } rate ? Digits(rate) : ""),
        new("share", r => r.Share is { } share ? $"{share:P1}" : ""),
        new("tokens/s", r => r.TokensPerSecond is { } rate ? Digits(rate) : ""),
        new("TFLOP/s", r => r.Teraflops is { } rate ? Digits(rate) : ""),
        new("of whole", r => r.Part is { } part ? $"{part:P2}" : ""),
        new("PyTorch", r => r.PyTorch is { } rate ? Digits(rate) : ""),
        new("x PyTorch", r => r.OverPyTorch is { } ratio ? $"{ratio:0.00}" : ""),
        new("error", r => r.Error is { } error ? $"{error:0.0e+0}" : ""),
        new("best SDPA µs", r => r.SdpaMicroseconds is { } us ? Digits(us) : ""),
        new("time / SDPA", r => r.OverSdpa is { } ratio ? $"{ratio:0.000}" : ""),
        new("speed-up", r => r.SpeedUp is { } ratio ? $"{ratio:0.00}" : ""),
        new("x PyTorch DS", r => r.OverTorch is { } ratio ? $"{ratio:0.0}" : ""),
        new("problem", r => r.Problem ?? ""),
    ];

    private readonly List<Section> _sections;

    /// <summary>Lays <paramref name="rows"/> out.</summary>
    public BenchTable(IReadOnlyList<BenchRow> rows) => _sections = [.. rows.GroupBy(Title).Select(group =>
    {
        var columns = s_columns.Where(c => group.Any(r => c.Text(r).Length > 0)).ToList();
        return new Section(group.Key, [.. columns.Select(c => c.Name)], [.. group.Select(r => (r, columns.Select(c => c.Text(r)).ToArray()))]);
    })];

    /// <summary>To <paramref name="console"/>, at full width where it is no terminal.</summary>
    public void Write(IAnsiConsole console)
    {
        if (!console.Profile.Out.IsTerminal) console.Profile.Width = Math.Max(console.Profile.Width, 240);
        foreach (var section in _sections)
        {
            var table = new Table().Border(TableBorder.Rounded);
            foreach (string name in section.Names) table.AddColumn(new TableColumn(name));
            foreach (var (row, cells) in section.Rows)
            {
                var style = row.Failed ? new Style(Color.Red) : row.Problem is not null ? new Style(Color.Yellow) : row.What == BenchRow.Step ? Style.Plain : new Style(Color.Grey);
                table.AddRow(cells.Select(c => new Text(c, style)));
            }
            if (section.Title.Length > 0) console.WriteLine(section.Title);
            console.Write(table);
        }
    }

    /// <summary>For documents.</summary>
    public string ToMarkdown()
    {
        var text = new StringBuilder();
        foreach (var section in _sections)
        {
            if (text.Length > 0) text.Append('\n');
            if (section.Title.Length > 0) text.Append(section.Title).Append("\n\n");
            Line(section.Names);
            Line(section.Names.Select(_ => "---"));
            foreach (var (_, cells) in section.Rows) Line(cells.Select(c => c.Replace("|", "\\|", StringComparison.Ordinal).ReplaceLineEndings(" ")));
        }
        return text.ToString();

        void Line(IEnumerable<string> cells) => text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
    }

    private static string Title(BenchRow row) =>
        row.Weights is { } weights ? $"{weights} weights"
        : row.Model is { } model ? $"{model}, K and V {row.KvFormat}{(row.Batch > 1 ? $", batch {row.Batch}" : "")}: {row.Attention}"
        : row.Heads == 0 ? "" : $"{row.Heads} heads, {row.KvHeads} kv heads x {row.HeadDim}, {row.KvFormat}{(row.Batch > 1 ? $", batch {row.Batch}" : "")}: {row.Attention}";

    private static string Time(Timing? timing) => timing is null ? "" : timing.InterquartileRange > 0 ? $"{Digits(timing.Median)} ± {Digits(timing.InterquartileRange / 2)}" : Digits(timing.Median);

    private static string Digits(double value) => value >= 1000 ? $"{value:N0}" : value >= 100 ? $"{value:0.0}" : $"{value:0.00}";
}
