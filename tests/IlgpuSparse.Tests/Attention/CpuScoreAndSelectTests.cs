using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Scores and selection in one go, and with attention behind them, are those of the operations.</summary>
public sealed class CpuScoreAndSelectTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void AsOneOperationAfterAnother(int threads)
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        using var backend = new CpuBackend(threads);
        for (int i = 0; i < 12; i++)
        {
            var shape = new AttentionShape(4, new[] { 1, 2, 4 }[random.Next(3)], 64, random.Next(3) == 0 ? random.Next(1, 3000) : 0);
            int[] lengths = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => random.Next(1, 6000))];
            using var labels = new LabelCase(backend, random, shape, LabelFormat.Int2, LabelScaling.Static, 32, lengths);
            labels.Fill(random, (rows, k) => backend.AppendLabels(shape, labels.Layer, rows, k));
            var rule = new SelectionRule(1, random.Next(1, 30), random.Next(1, 200), random.Next(5), random.Next(1, 20));
            Check(backend, random, shape, labels, rule, random.Next(2) == 0 ? shape.KvHeads : shape.Heads);
        }
    }

    private static void Check(CpuBackend backend, Random random, AttentionShape shape, LabelCase labels, SelectionRule rule, int sets)
    {
        using var batch = labels.LastTokens();
        int capacity = (batch.MaxLength + 15) / 16 * 16, budget = rule.Budget(batch.MaxLength), lists = batch.Rows * sets;
        using var q = backend.Allocate((long)batch.Rows * shape.Heads * shape.HeadDim * sizeof(float), "test");
        ((DeviceSpan)q).Upload<float>([.. Enumerable.Range(0, batch.Rows * shape.Heads * shape.HeadDim).Select(_ => (float)random.NextDouble() - 0.5f)]);
        using var scores = new TokenScores(backend.Allocate((long)lists * capacity * sizeof(float), "test"), sets, capacity);
        using var twice = Sets(backend, lists, sets, budget, poison: -1);
        using var once = Sets(backend, lists, sets, budget, poison: -2);
        backend.Score(shape, labels.Layer, batch, q, GroupReduction.Max, scores);
        backend.Select(shape, rule, batch, scores, twice);
        scores.Buffer.Clear();
        backend.ScoreAndSelect(shape, labels.Layer, batch, q, GroupReduction.Max, rule, scores, once);
        int[] counts = Read(twice.Counts), expected = Read(twice.Indices), actual = Read(once.Indices);
        Assert.Equal(counts, Read(once.Counts));
        for (int list = 0; list < lists; list++)
            Assert.Equal(expected.AsSpan(list * budget, counts[list]).ToArray(), actual.AsSpan(list * budget, counts[list]).ToArray());

        using var k = RandomRows(backend, random, shape, labels.Layer);
        using var v = RandomRows(backend, random, shape, labels.Layer);
        var cache = new KvLayer(KvFormat.F32, k, v);
        using var apart = backend.Allocate(q.ByteLength, "test");
        using var together = backend.Allocate(q.ByteLength, "test");
        backend.AttendSelected(shape, cache, batch, q, twice, apart);
        ((DeviceSpan)once.Indices).Upload<int>(Enumerable.Repeat(-2, lists * budget).ToArray());
        scores.Buffer.Clear();
        backend.AttendByLabels(shape, cache, batch, q, new LabelChoice(shape, labels.Layer, q, GroupReduction.Max, rule, scores, once), together);
        actual = Read(once.Indices);
        Assert.Equal(counts, Read(once.Counts));
        for (int list = 0; list < lists; list++)
            Assert.Equal(expected.AsSpan(list * budget, counts[list]).ToArray(), actual.AsSpan(list * budget, counts[list]).ToArray());
        float[] y = ((DeviceSpan)together).ToArray<float>((int)(q.ByteLength / sizeof(float))), reference = ((DeviceSpan)apart).ToArray<float>(y.Length);
        for (int i = 0; i < y.Length; i++) Assert.True(Math.Abs(y[i] - reference[i]) <= 1e-5f, $"{y[i]} at {i} where the operations one after another give {reference[i]}");
    }

    // K or V in the blocks that the labels are in.
    private static DeviceBuffer RandomRows(CpuBackend backend, Random random, AttentionShape shape, LabelLayer labels)
    {
        long numbers = labels.Codes.ByteLength / (labels.Words * sizeof(uint)) * shape.HeadDim;
        var buffer = backend.Allocate(numbers * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>([.. Enumerable.Range(0, (int)numbers).Select(_ => random.NextSingle() - 0.5f)]);
        return buffer;
    }

    private static TokenSets Sets(CpuBackend backend, int lists, int sets, int budget, int poison)
    {
        var result = new TokenSets(backend.Allocate((long)lists * budget * sizeof(int), "test"), backend.Allocate(lists * sizeof(int), "test"), sets, budget);
        ((DeviceSpan)result.Indices).Upload<int>(Enumerable.Repeat(poison, lists * budget).ToArray());
        ((DeviceSpan)result.Counts).Upload<int>(Enumerable.Repeat(poison, lists).ToArray());
        return result;
    }

    private static int[] Read(DeviceBuffer buffer)
    {
        int[] numbers = new int[buffer.ByteLength / sizeof(int)];
        buffer.Download(System.Runtime.InteropServices.MemoryMarshal.AsBytes(numbers.AsSpan()));
        return numbers;
    }
}
