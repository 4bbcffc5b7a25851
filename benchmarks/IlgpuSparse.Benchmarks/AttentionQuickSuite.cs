using IlgpuSparse.Compute;

namespace IlgpuSparse.Benchmarks;

/// <summary>Decode attention against the read bandwidth, prefill attention against the multiply-add peak.</summary>
internal static class AttentionQuickSuite
{
    private const int Tokens = 32768;

    public static void Run()
    {
        Console.WriteLine($"| decode, {Tokens} tokens | K and V | dense GB/s | of read bandwidth | 1/16 of the tokens GB/s | of read bandwidth | dense time / selected time |");
        Console.WriteLine("| --- | --- | --- | --- | --- | --- | --- |");
        foreach (var format in (KvFormat[])[KvFormat.F16, KvFormat.BF16, KvFormat.F32]) Decode(new(32, 32, 128), format);
        Decode(new(32, 8, 128), KvFormat.F16);
        Decode(new(32, 8, 64), KvFormat.F16);
        Decode(new(28, 4, 128), KvFormat.F16);
        Decode(new(8, 1, 256), KvFormat.F16);
        Decode(new(32, 32, 80), KvFormat.F16);
        Console.WriteLine();
        Console.WriteLine("| prefill, 512 rows after | K and V | GFLOP/s | of multiply-add peak |");
        Console.WriteLine("| --- | --- | --- | --- |");
        Prefill(new(8, 8, 128), KvFormat.F16, 8192);
        Prefill(new(8, 2, 128), KvFormat.F16, 8192);
        Prefill(new(8, 2, 64), KvFormat.F16, 7168);
        Prefill(new(6, 2, 64), KvFormat.F16, 7168);
        Prefill(new(6, 2, 64), KvFormat.F32, 1024);
        Prefill(new(8, 8, 80), KvFormat.F16, 4096);
    }

    private static void Decode(AttentionShape shape, KvFormat format)
    {
        using var work = new AttentionWorkload(shape, format, Tokens);
        PairedMeasurement.WarmUp(work.Dense);
        PairedMeasurement.WarmUp(work.Selected);
        var dense = PairedMeasurement.Against(work.Read, work.DenseBytes, work.Dense, work.DenseBytes);
        var selected = PairedMeasurement.Against(work.Read, work.DenseBytes, work.Selected, work.SelectedBytes);
        double faster = selected.Ratio / dense.Ratio * work.DenseBytes / work.SelectedBytes;
        Console.WriteLine($"| {shape.Heads} heads, {shape.KvHeads} kv heads x {shape.HeadDim} | {format} | {dense.Rate / 1e9:F1} | {dense.Ratio:P0} | {selected.Rate / 1e9:F1} | {selected.Ratio:P0} | {faster:F1} |");
    }

    private static void Prefill(AttentionShape shape, KvFormat format, int tokens)
    {
        using var work = new AttentionWorkload(shape, format, tokens, chunk: 512);
        PairedMeasurement.WarmUp(work.Prefill);
        var (rate, ratio) = PairedMeasurement.Run(() => FmaPeak.Run(work.Pool, 64), () =>
        {
            work.Prefill();
            return work.PrefillFlops;
        });
        Console.WriteLine($"| {tokens - 512} tokens, {shape.Heads} heads, {shape.KvHeads} kv heads x {shape.HeadDim} | {format} | {rate / 1e9:F0} | {ratio:P0} |");
    }
}
