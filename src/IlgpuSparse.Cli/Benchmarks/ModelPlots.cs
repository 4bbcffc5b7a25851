namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The plots of <c>bench prefill</c> and <c>bench decode</c>: rates over the context, for each model, storage and batch.</summary>
internal static class ModelPlots
{
    /// <summary>Writes them to <paramref name="directory"/>, which is made; returns the names.</summary>
    /// <exception cref="FormatException">There are no results to plot.</exception>
    public static IReadOnlyList<string> Save(BenchDocument document, string directory)
    {
        var rows = document.Rows.Where(r => r.What is ModelBenchmark.Prefill or ModelBenchmark.Decode && r.Microseconds is > 0).ToList();
        if (rows.Count == 0) throw new FormatException("there are no times to plot");
        Directory.CreateDirectory(directory);
        var written = new List<string>();
        foreach (var group in rows.GroupBy(r => (r.What, r.Model, r.KvFormat, r.Batch)))
        {
            var (what, model, format, batch) = group.Key;
            var plot = new LinePlot($"{what}: {model}, K and V {format}, batch {batch}\n{document.Device}", what == ModelBenchmark.Prefill ? "TFLOP/s" : "tokens/s", LogY: false);
            foreach (var line in group.GroupBy(r => r.Attention!)) plot.Add(line.Key, line.Select(r => (r.Context, r.Teraflops ?? r.TokensPerSecond)));
            plot.Add("PyTorch, dense", group.DistinctBy(r => r.Context).Select(r => (r.Context, r.PyTorch)), reference: true);
            written.AddRange(plot.Save(Path.Combine(directory, $"{what}-{model!.Replace(", ", "-", StringComparison.Ordinal).Replace(' ', '-')}-{format}-b{batch}")));
        }
        return written;
    }
}
