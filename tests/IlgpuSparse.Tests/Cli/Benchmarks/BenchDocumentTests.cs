using IlgpuSparse.Cli;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

public sealed class BenchDocumentTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [Fact]
    public void A_document_reads_back_as_it_was_written()
    {
        var document = Document();
        var again = JsonOutput.Read<BenchDocument>(JsonOutput.Text(document), "here");
        Assert.Equal(document.Rows, again.Rows);
        Assert.Equal(document.Summary, again.Summary);
        Assert.Contains("\"microseconds\": 20", JsonOutput.Text(document));
    }

    [Theory]
    [InlineData("{", "here")]
    [InlineData("null", "null")]
    [InlineData("{\"benchmark\": \"attention\"}", "here")]
    public void Other_documents_are_refused(string text, string message) =>
        Assert.Contains(message, Assert.Throws<FormatException>(() => JsonOutput.Read<BenchDocument>(text, "here")).Message);

    [Fact]
    public void The_table_has_the_columns_that_hold_something()
    {
        string markdown = TableSection.ToMarkdown(BenchTable.Of(Document().Rows));
        Assert.Contains("32 heads, 8 kv heads x 128, f16: dense", markdown);
        Assert.Contains("| step | 4,096 | 20.00 ± 0.50 |", markdown);
        Assert.Contains("| 1.25 |", markdown); // speed-up
        Assert.Contains("out of memory: a \\| b", markdown);
        Assert.DoesNotContain("launched", markdown);
        string[] lines = markdown.Split('\n');
        for (int i = 1; i < lines.Length; i++)
            if (lines[i].StartsWith("| ---", StringComparison.Ordinal)) Assert.Equal(Cells(lines[i - 1]), Cells(lines[i + 1]));
        static int Cells(string line) => line.Replace("\\|", "").Count(c => c == '|');
    }

    [Fact]
    public void Plots_are_written_as_png_and_svg()
    {
        IReadOnlyList<string> files;
        try
        {
            files = AttentionPlots.Save(Document(), Path.Combine(_directory.Path, "plots"));
        }
        catch (NotSupportedException e)
        {
            // a copy published with PlotPlatforms=none
            Assert.False(Directory.Exists(Path.Combine(AppContext.BaseDirectory, "runtimes")), e.Message);
            Assert.Skip(e.Message);
            return;
        }
        // time, speed-up, rate, share
        Assert.Equal(8, files.Count);
        Assert.All(files, file => Assert.True(new FileInfo(file).Length > 2000, file));
        Assert.All(files.Where(f => f.EndsWith(".png")), file => Assert.Equal([0x89, 0x50, 0x4e, 0x47], File.ReadAllBytes(file)[..4]));
        Assert.All(files.Where(f => f.EndsWith(".svg")), file => Assert.Contains("16K", string.Concat(System.Xml.Linq.XDocument.Load(file).Descendants().Where(e => e.Name.LocalName == "text").Select(e => e.Value + "\n"))));
    }

    [Fact]
    public void Nothing_measured_is_nothing_to_plot() =>
        Assert.Throws<FormatException>(() => AttentionPlots.Save(Document() with { Rows = [] }, Path.Combine(_directory.Path, "none")));

    private static BenchDocument Document()
    {
        BenchRow Step(string attention, int context, double us) => new()
        {
            What = "step",
            Heads = 32,
            KvHeads = 8,
            HeadDim = 128,
            Context = context,
            Batch = 1,
            KvFormat = "f16",
            Attention = attention,
            Graph = new Timing(us, 1, 30),
            Bytes = context * 4096L,
            Share = 0.5,
            Error = 3e-4,
            SdpaMicroseconds = 25,
        };
        return new BenchDocument
        {
            Benchmark = "attention",
            Command = "ilgpusparse bench attention",
            Date = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc),
            Backend = "cuda",
            Device = "a GPU",
            Seed = 7,
            Samples = 30,
            Rows =
            [
                Step("dense", 4096, 20), Step("dense", 16384, 80), Step("double-sparsity:tokens=1/16", 4096, 8), Step("double-sparsity:tokens=1/16", 16384, 12),
                Step("dense", 65536, 1) with { Graph = null, Problem = "out of memory: a | b" },
            ],
        };
    }

    public void Dispose() => _directory.Dispose();
}
