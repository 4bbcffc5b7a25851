namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The plots of <c>bench attention</c>: time, speed-up and achieved rate over the context, for each head layout, storage and batch.</summary>
internal static class AttentionPlots
{
    /// <summary>Writes them to <paramref name="directory"/>, which is made; returns the names.</summary>
    /// <exception cref="FormatException">There are no results to plot.</exception>
    public static IReadOnlyList<string> Save(BenchDocument document, string directory)
    {
        var steps = document.Rows.Where(r => r.What == BenchRow.Step && r.Microseconds is > 0).ToList();
        if (steps.Count == 0) throw new FormatException("there are no times to plot");
        Directory.CreateDirectory(directory);
        var written = new List<string>();
        foreach (var group in steps.GroupBy(r => (r.Heads, r.KvHeads, r.HeadDim, r.KvFormat, r.Batch)))
        {
            var (heads, kvHeads, headDim, format, batch) = group.Key;
            string what = $"{heads} heads, {kvHeads} kv heads x {headDim}, {format}, batch {batch}", file = $"{heads}x{kvHeads}x{headDim}-{format}-b{batch}";
            var rows = group.ToList();
            foreach (var (name, plot) in Plots(what, document.Device, rows))
                if (!plot.IsEmpty) written.AddRange(plot.Save(Path.Combine(directory, $"attention-{name}-{file}")));
        }
        return written;
    }

    private static IEnumerable<(string Name, LinePlot Plot)> Plots(string what, string device, List<BenchRow> rows)
    {
        var lines = rows.GroupBy(r => r.Attention!).ToList();
        var time = new LinePlot($"Attention of one decode step: {what}\n{device}", "µs", LogY: true);
        bool compared = rows.Exists(r => r.SpeedUp is not null);
        var speedUp = new LinePlot($"Speed-up over {(compared ? "the best SDPA of PyTorch" : "dense")}: {what}\n{device}", "times faster", LogY: false);
        var rate = new LinePlot($"Bytes that have to be read, over time: {what}\n{device}", "GB/s", LogY: false);
        var share = new LinePlot($"Achieved share of the measured memory rate: {what}\n{device}", "%", LogY: false);
        var dense = rows.Where(r => r.Attention == BenchRow.Dense).DistinctBy(r => r.Context).ToDictionary(r => r.Context, r => r.Microseconds);
        foreach (var line in lines)
        {
            time.Add(line.Key, line.Select(r => (r.Context, r.Microseconds)));
            rate.Add(line.Key, line.Select(r => (r.Context, r.GigabytesPerSecond)));
            share.Add(line.Key, line.Select(r => (r.Context, 100 * r.Share)));
            if (compared) speedUp.Add(line.Key, line.Select(r => (r.Context, r.SpeedUp)));
            else if (line.Key != BenchRow.Dense) speedUp.Add(line.Key, line.Select(r => (r.Context, dense.GetValueOrDefault(r.Context) / r.Microseconds)));
        }
        var baseline = rows.DistinctBy(r => r.Context).ToList();
        time.Add("PyTorch, best SDPA", baseline.Select(r => (r.Context, r.SdpaMicroseconds)), reference: true);
        time.Add("PyTorch, Double Sparsity", baseline.Select(r => (r.Context, r.TorchMicroseconds)), reference: true);
        return [("time", time), ("speed-up", speedUp), ("rate", rate), ("share", share)];
    }
}
