using IlgpuSparse.Compute;

namespace IlgpuSparse.Benchmarks;

/// <summary>The whole sparse step (label, scores, selection, attention to 1/16 of the tokens, labels of 64 channels by 2 bits) against the dense step, and against reading its rows and labels and doing nothing with them.</summary>
internal static class StepQuickSuite
{
    public static void Run()
    {
        Console.WriteLine("| step | tokens | K and V | dense µs | scores µs | selection µs | sparse step µs | dense time / sparse time | rows read µs | labels read µs |");
        Console.WriteLine("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        Measure(new(32, 32, 128), KvFormat.F16, 32768);
        Measure(new(32, 32, 128), KvFormat.F32, 32768);
        Measure(new(32, 8, 128), KvFormat.F16, 32768);
        Measure(new(32, 8, 128), KvFormat.F16, 131072);
        Measure(new(32, 32, 128), KvFormat.F16, 8192);
        Measure(new(6, 2, 64), KvFormat.F16, 7729);
    }

    private static void Measure(AttentionShape shape, KvFormat format, int tokens)
    {
        using var work = new AttentionWorkload(shape, format, tokens);
        PairedMeasurement.WarmUp(work.Dense);
        PairedMeasurement.WarmUp(work.SparseStep);
        int steps = (int)Math.Max(1, AttentionWorkload.StreamedBytes / 4 / work.DenseBytes);
        var (dense, ratio) = Compare(work.SparseStep, work.Dense, steps);
        var (scores, _) = Compare(work.Dense, work.Score, steps);
        var (selection, _) = Compare(work.Score, work.Select, steps);
        var (sparse, _) = Compare(work.Dense, work.SparseStep, steps);
        var (rows, _) = Compare(work.Dense, work.ReadSelected, steps);
        var (labels, _) = Compare(work.Dense, work.ReadLabels, steps);
        Console.WriteLine($"| {shape.Heads} heads, {shape.KvHeads} kv heads x {shape.HeadDim} | {tokens} | {format} | {1e6 / dense:F0} | {1e6 / scores:F0} | {1e6 / selection:F0} | {1e6 / sparse:F0} | {1 / ratio:F1} | {1e6 / rows:F0} | {1e6 / labels:F0} |");
    }

    private static (double Rate, double Ratio) Compare(Action yardstick, Action work, int steps) => PairedMeasurement.Against(Repeated(yardstick, steps), steps, Repeated(work, steps), steps);

    private static Action Repeated(Action action, int times) => () =>
    {
        for (int i = 0; i < times; i++) action();
    };
}
