namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The plots of <c>bench offload</c>: tokens a second over the context, and rates over the bus by row size.</summary>
internal static class OffloadPlots
{
    /// <summary>Writes them to <paramref name="directory"/>, which is made; returns the names.</summary>
    /// <exception cref="FormatException">There are no results to plot.</exception>
    public static IReadOnlyList<string> Save(BenchDocument document, string directory)
    {
        var steps = document.Rows.Where(r => r.What == ModelBenchmark.Decode && r.Microseconds is > 0).ToList();
        var rates = document.Rows.Where(r => r.RowBytes is not null && r.Microseconds is > 0).ToList();
        if (steps.Count + rates.Count == 0) throw new FormatException("there are no times to plot");
        Directory.CreateDirectory(directory);
        var written = new List<string>();
        foreach (var group in steps.GroupBy(r => (r.Model, r.KvFormat)))
        {
            var plot = new LinePlot($"decode, {group.Key.Model}, K and V {group.Key.KvFormat}\n{document.Device}", "tokens/s", LogY: true);
            foreach (var line in group.GroupBy(Name)) plot.Add(line.Key, line.Select(r => (r.Context, r.TokensPerSecond)));
            written.AddRange(plot.Save(Path.Combine(directory, $"offload-{group.Key.Model!.Replace(", ", "-", StringComparison.Ordinal).Replace(' ', '-')}-{group.Key.KvFormat}")));
        }
        if (rates.Count > 0)
        {
            var plot = new LinePlot($"rows over the bus\n{document.Device}", "GB/s", LogY: false) { XLabel = "bytes a row", XText = bytes => $"{bytes:N0}" };
            foreach (var line in rates.GroupBy(r => r.What)) plot.Add(line.Key, line.Select(r => (r.RowBytes!.Value, r.BusGigabytesPerSecond)));
            double? copy = document.Rows.FirstOrDefault(r => r.What == OffloadBenchmark.PinnedCopy)?.BusGigabytesPerSecond;
            plot.Add("one large copy", rates.DistinctBy(r => r.RowBytes).Select(r => (r.RowBytes!.Value, copy)), reference: true);
            written.AddRange(plot.Save(Path.Combine(directory, "offload-rows")));
        }
        return written;
    }

    private static string Name(BenchRow row) => row.Kv is null ? $"on the device: {row.Attention}"
        : row.Attention == BenchRow.Dense ? "on the host: all of K and V each step" : $"on the host: {row.Attention}{(row.Selections is { } selections ? $", {selections}" : "")}{(row.HotTokens > 0 ? ", hot rows" : "")}{(row.Prediction is { } prediction ? $", predicted ({prediction})" : "")}";
}
