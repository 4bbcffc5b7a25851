using IlgpuSparse.Cli.Benchmarks;
using Spectre.Console;

namespace IlgpuSparse.Cli.Evaluations;

/// <summary>Rows as tables, one a task.</summary>
internal static class EvaluationTable
{
    private static readonly (string Name, Func<EvaluationRow, string> Text)[] s_columns =
    [
        ("attention", r => r.Attention),
        ("aux bits", r => $"{r.AuxiliaryBits:0.#}"),
        ("memory", r => $"{r.Memory:P1}"),
        ("density", r => $"{r.Density:P2}"),
        ("read a step", r => Bytes.Text((long)r.BytesPerStep)),
        ("ppl", r => r.Perplexity is { } p ? $"{p:0.00}" : ""),
        ("÷ dense", r => r.Ratio is { } ratio && r.Density != 1 ? $"{ratio:0.0000}" : ""),
        ("95 %", r => r.RatioInterval is { } i && r.Density != 1 && double.IsFinite(i.High) ? $"{i.Low:0.000} to {i.High:0.000}" : ""),
        ("right", r => r.Accuracy is { } a ? $"{a:0.000}" : ""),
        ("Wilson 95 %", r => r.AccuracyInterval is { } i ? $"{i.Low:0.000} to {i.High:0.000}" : ""),
        ("- dense", r => r.Difference is { } d && r.Density != 1 ? $"{d:+0.000;-0.000;0.000}" : ""),
        ("paired 95 %", r => r.DifferenceInterval is { } i && i.High > i.Low && double.IsFinite(i.High) ? $"{i.Low:+0.000;-0.000;0.000} to {i.High:+0.000;-0.000;0.000}" : ""),
        ("lost, won", r => r.Lost is { } lost && r.Density != 1 ? $"{lost}, {r.Won}" : ""),
        ("tokens", r => r.Fidelity is { } f && r.Density != 1 ? $"{f.TokensRead:P2}" : ""),
        ("mass", r => r.Fidelity is { } f && r.Density != 1 ? $"{f.MassRecall:0.000}" : ""),
        ("top-k", r => r.Fidelity is { } f && r.Density != 1 ? $"{f.TopRecall:0.000}" : ""),
        ("error", r => r.Fidelity is { } f && r.Density != 1 ? $"{f.OutputError:0.000}" : ""),
    ];

    /// <summary>Lays <paramref name="rows"/> out.</summary>
    public static IReadOnlyList<TableSection> Of(IReadOnlyList<EvaluationRow> rows) =>
    [
        .. rows.GroupBy(r => (r.Task, r.Setup, r.Cases)).Select(group => TableSection.Create(
            $"{group.Key.Task}, set-up {group.Key.Setup}: {group.Key.Cases:N0} {(group.First().Perplexity is null ? "answers" : "tokens")}", [.. group], s_columns, _ => Style.Plain)),
    ];
}
