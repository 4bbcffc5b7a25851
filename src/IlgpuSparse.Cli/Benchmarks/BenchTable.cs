using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Rows as tables on the console and in Markdown: one for each head layout, storage, attention and batch. Columns that hold nothing are left out.</summary>
internal static class BenchTable
{
    private static readonly (string Name, Func<BenchRow, string> Text)[] s_columns =
    [
        ("what", r => r.What),
        ("context", r => r.Context > 0 ? $"{r.Context:N0}" : ""),
        ("outputs", r => r.Outputs is { } outputs ? $"{outputs:N0}" : ""),
        ("inputs", r => r.Inputs is { } inputs ? $"{inputs:N0}" : ""),
        ("row bytes", r => r.RowBytes is { } bytes ? $"{bytes:N0}" : ""),
        ("rows", r => r.Weights is not null ? $"{r.Batch}" : ""),
        ("graph µs", r => Time(r.Graph)),
        ("launched µs", r => Time(r.Launched)),
        ("queued µs", r => Time(r.Queued)),
        ("kernels", r => r.Nodes is { } nodes ? $"{nodes:0.#}" : ""),
        ("layers", r => r.Layers is { } layers ? $"{layers}" : ""),
        ("bytes", r => r.Bytes is { } bytes ? Bytes.Text(bytes) : ""),
        ("GB/s", r => r.GigabytesPerSecond is { } rate ? Digits(rate) : ""),
        ("share", r => r.Share is { } share ? $"{share:P1}" : ""),
        ("tokens/s", r => r.TokensPerSecond is { } rate ? Digits(rate) : ""),
        ("over the bus", r => r.BusBytes is { } bytes ? Bytes.Text(bytes) : ""),
        ("bus GB/s", r => r.BusGigabytesPerSecond is { } rate ? Digits(rate) : ""),
        ("of the bus", r => r.BusShare is { } share ? $"{share:P1}" : ""),
        ("x full", r => r.OverFull is { } ratio ? $"{ratio:0.0}" : ""),
        ("selections", r => r.Selections ?? ""),
        ("hot rows", r => r.HotTokens is { } tokens ? $"{tokens:N0}" : ""),
        ("hits", r => r.HitRate is { } rate ? $"{rate:P1}" : ""),
        ("predicted", r => r.PredictionRate is { } rate ? $"{r.Prediction} {rate:P1}" : ""),
        ("dropped", r => r.DropRate is { } rate ? $"{rate:P1}" : ""),
        ("K, V, labels", r => r.DeviceBytes is { } bytes ? Bytes.Text(bytes) : ""),
        ("on the host", r => r.HostBytes is { } bytes ? Bytes.Text(bytes) : ""),
        ("TFLOP/s", r => r.Teraflops is { } rate ? Digits(rate) : ""),
        ("of whole", r => r.Part is { } part ? $"{part:P2}" : ""),
        ("planned", r => r.PlannedBytes is { } planned ? Bytes.Text(planned) : ""),
        ("used", r => r.UsedBytes is { } used ? Bytes.Text(used) : ""),
        ("of plan", r => r.OverPlan is { } share ? $"{share:P1}" : ""),
        ("PyTorch", r => r.PyTorch is { } rate ? Digits(rate) : ""),
        ("x PyTorch", r => r.OverPyTorch is { } ratio ? $"{ratio:0.00}" : ""),
        ("error", r => r.Error is { } error ? $"{error:0.0e+0}" : ""),
        ("best SDPA µs", r => r.SdpaMicroseconds is { } us ? Digits(us) : ""),
        ("time / SDPA", r => r.OverSdpa is { } ratio ? $"{ratio:0.000}" : ""),
        ("speed-up", r => r.SpeedUp is { } ratio ? $"{ratio:0.00}" : ""),
        ("x PyTorch DS", r => r.OverTorch is { } ratio ? $"{ratio:0.0}" : ""),
        ("problem", r => r.Problem ?? ""),
    ];

    /// <summary>Lays <paramref name="rows"/> out.</summary>
    public static IReadOnlyList<TableSection> Of(IReadOnlyList<BenchRow> rows) => [.. rows.GroupBy(Title).Select(group => TableSection.Create(group.Key, [.. group], s_columns, StyleOf))];

    private static Style StyleOf(BenchRow row) =>
        row.Failed ? new Style(Color.Red) : row.Problem is not null ? new Style(Color.Yellow) : row.What == BenchRow.Step ? Style.Plain : new Style(Color.Grey);

    private static string Title(BenchRow row) =>
        row.Weights is { } weights ? $"{weights} weights"
        : row.Model is { } model ? $"{model}, K and V {row.KvFormat}{(row.Batch > 1 ? $", batch {row.Batch}" : "")}{(row.Kv is { } kv ? $", on the {kv}" : "")}: {row.Attention}"
        : row.Heads == 0 ? "" : $"{row.Heads} heads, {row.KvHeads} kv heads x {row.HeadDim}, {row.KvFormat}{(row.Batch > 1 ? $", batch {row.Batch}" : "")}: {row.Attention}";

    private static string Time(Timing? timing) => timing is null ? "" : timing.InterquartileRange > 0 ? $"{Digits(timing.Median)} ± {Digits(timing.InterquartileRange / 2)}" : Digits(timing.Median);

    private static string Digits(double value) => value >= 1000 ? $"{value:N0}" : value >= 100 ? $"{value:0.0}" : $"{value:0.00}";
}
