using System.CommandLine;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>What every benchmark command does around its measurements: opening the backend or a saved document, and reporting in the forms that were asked for.</summary>
/// <param name="arguments">The command line, with <see cref="BenchOptions"/>.</param>
/// <param name="benchmark">Name in documents.</param>
/// <param name="compare">Adds to a row what it is compared with.</param>
/// <param name="plots">Writes a document's plots into a directory and returns their names.</param>
/// <param name="precision">Of products of many rows on tensor cores.</param>
internal sealed class BenchRun(ParseResult arguments, string benchmark, Func<BenchRow, BenchRow> compare, Func<BenchDocument, string, IReadOnlyList<string>> plots, ProductPrecision precision = ProductPrecision.Single)
{
    /// <summary>Runs <paramref name="measure"/> unless the results are there already, and reports; returns the exit code: 1 when a result was wrong, 130 when it was ended early.</summary>
    public int Execute(Action<BenchSession> measure, CancellationToken cancellation)
    {
        if (arguments.GetValue(BenchOptions.PlotFrom) is { } path)
        {
            var saved = JsonOutput.Read<BenchDocument>(File.ReadAllText(path), path);
            if (saved.Benchmark != benchmark) throw new FormatException($"{path} holds results of '{saved.Benchmark}', not of '{benchmark}'");
            Report(saved with { Rows = [.. saved.Rows.Select(compare)] });
            return 0;
        }
        var settings = BenchOptions.Settings(arguments);
        using var backend = ComputeBackends.Create(arguments.GetValue(BenchOptions.Backend)!, arguments.GetValue(BenchOptions.Threads), precision: precision);
        if (backend is GpuBackend { Device: var device } && arguments.GetValue(BenchOptions.NoOverlap)) device.StartsKernelsEarly = false;
        var document = new BenchDocument
        {
            Benchmark = benchmark,
            Command = ResultReport.CommandLine(arguments),
            Date = DateTime.UtcNow,
            Backend = backend.Name,
            Device = backend.Description,
            Seed = settings.Seed,
            Samples = settings.Samples,
            Rows = [],
        };
        ProgressConsole.Instance.WriteLine($"{document.Backend}: {document.Device}; seed {document.Seed}");
        var yardstick = Yardstick.Measure(backend, settings.Samples, cancellation);
        var session = new BenchSession(backend, settings, yardstick, compare, rows => Save(document with { Rows = rows }), cancellation);
        measure(session);
        Report(document with { Rows = session.Rows });
        return session.Cancelled ? CommandGuard.Cancelled : session.Rows.Any(r => r.Failed) ? 1 : 0;
    }

    private void Report(BenchDocument document)
    {
        Save(document);
        ResultReport.Write(document, document.Summary, BenchTable.Of(document.Rows), arguments.GetValue(BenchOptions.Json), arguments.GetValue(BenchOptions.Markdown), arguments.GetValue(BenchOptions.Plot),
            directory => plots(document, directory));
    }

    private void Save(BenchDocument document)
    {
        if (arguments.GetValue(BenchOptions.Output) is { } path) File.WriteAllText(path, JsonOutput.Text(document));
    }
}
