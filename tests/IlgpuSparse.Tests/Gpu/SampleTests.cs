using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Tests.Compute;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Draws on a backend against <see cref="Sampler"/>: the same tokens for the same seed.</summary>
[Collection("accelerators")]
public sealed class SampleTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    /// <summary>The Cpu backend, then the kinds of accelerators.</summary>
    public static TheoryData<string> Kinds => ["", .. Enum.GetNames<GpuKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void GreedyIsTheSamplers(string kind)
    {
        using var backend = Open(kind);
        var random = new Random(_seed);
        foreach (int vocabulary in (int[])[1, 2, 37, 1000, 8192, 8193, 20000])
        {
            float[] logits = RandomWeights.Normals(random, 5 * vocabulary);
            var ties = logits.AsSpan(vocabulary, vocabulary);
            for (int i = 0; i < vocabulary; i++) ties[i] = random.Next(3) - 2; // several largest, the lowest id wins
            var zeros = logits.AsSpan(2 * vocabulary, vocabulary);
            for (int i = 0; i < vocabulary; i++) zeros[i] = random.Next(2) == 0 ? 0f : -0f;
            var broken = logits.AsSpan(3 * vocabulary, vocabulary);
            float[] values = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, -3f];
            for (int i = 0; i < vocabulary; i++) broken[i] = values[random.Next(4)];
            broken[^1] = -5f;
            logits.AsSpan(4 * vocabulary, vocabulary).Fill(float.NaN);
            int[] ids = Draw(backend, logits, 5, SamplingOptions.Greedy, [0, 0, 0, 0, 0]).Ids;
            for (int row = 0; row < 4; row++)
                Assert.Equal(new Sampler(SamplingOptions.Greedy).Next(logits.AsSpan(row * vocabulary, vocabulary)), ids[row]);
            Assert.Equal(-1, ids[4]);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void DrawsAreTheSamplers(string kind)
    {
        using var backend = Open(kind);
        var random = new Random(_seed);
        const int vocabulary = 300;
        int different = 0, draws = 0;
        foreach (var options in (SamplingOptions[])
            [
                new() { Temperature = 1 },
                new() { Temperature = 0.6f, TopK = 5 },
                new() { Temperature = 1.5f, TopP = 0.8f },
                new() { Temperature = 1, TopK = 40, TopP = 0.95f, MinP = 0.01f },
                new() { Temperature = 1, TopK = 1000 },
                new() { Temperature = 2, TopP = 1e-6f },
            ])
        {
            var seeded = options with { Seed = (ulong)random.NextInt64() };
            float[] logits = [.. RandomWeights.Normals(random, 3 * vocabulary).Select(v => MathF.Round(3 * v, random.Next(2)))]; // with ties
            var (ids, drawn) = Draw(backend, logits, 3, seeded, [0, 4, 1]);
            Assert.Equal([1, 5, 2], drawn);
            for (int row = 0; row < 3; row++)
            {
                var sampler = new Sampler(seeded with { Seed = seeded.Seed + (ulong)row * 0xD1342543DE82EF95 });
                int expected = -1;
                for (int n = 0; n < drawn[row]; n++) expected = sampler.Next(logits.AsSpan(row * vocabulary, vocabulary));
                draws++;
                if (ids[row] != expected) different++;
            }
        }
        // exponentials differ in their last bit, so that a draw on the border between two tokens may fall to the other: not twice in 18
        Assert.True(different <= 1, $"{different} of {draws} draws differ (seed {_seed})");
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void FiltersHold(string kind)
    {
        using var backend = Open(kind);
        var random = new Random(_seed);
        int rows = kind == nameof(GpuKind.CpuAccelerator) ? 24 : 400;
        const int vocabulary = 64;
        float[] one = [.. RandomWeights.Normals(random, vocabulary).Select(v => MathF.Round(v))]; // many ties
        float[] logits = [.. Enumerable.Range(0, rows).SelectMany(_ => one)];
        int[] order = [.. Enumerable.Range(0, vocabulary).OrderByDescending(i => one[i]).ThenBy(i => i)];
        int[] ids = Draw(backend, logits, rows, new SamplingOptions { Temperature = 100, TopK = 7, Seed = (ulong)_seed }, new int[rows]).Ids;
        Assert.Subset(order[..7].ToHashSet(), ids.ToHashSet());
        Assert.True(ids.Distinct().Count() > 3, "at this temperature the seven are about equally likely");
        double total = one.Sum(v => Math.Exp(v)), sum = 0;
        int kept = 0;
        while (sum < 0.5 * total) sum += Math.Exp(one[order[kept++]]);
        ids = Draw(backend, logits, rows, new SamplingOptions { Temperature = 1, TopP = 0.5f, Seed = (ulong)_seed }, new int[rows]).Ids;
        Assert.Subset(order[..(kept + 1)].ToHashSet(), ids.ToHashSet()); // one more where the share falls on the border
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void TokensAreKeptByPositionAndPositionsAdvance(string kind)
    {
        using var backend = Open(kind);
        var random = new Random(_seed);
        const int slots = 4, none = -7;
        foreach (int rows in (int[])[1, 3, 40])
        {
            using var batch = new StepBatch(backend, rows, rows, 1);
            int[] positions = [.. Enumerable.Range(0, rows).Select(_ => random.Next(200))], kept = [.. Enumerable.Repeat(none, rows * slots)], drawn = new int[rows];
            using var ids = backend.Allocate((long)rows * sizeof(int), "test");
            using var history = backend.Allocate((long)kept.Length * sizeof(int), "test");
            using var download = backend.CreateDownload(history);
            ((DeviceSpan)history).Upload<int>(kept);
            batch.SetDecode(positions, [.. Enumerable.Repeat(new int[1], rows)]);
            for (int step = 0; step < slots + 2; step++)
            {
                for (int row = 0; row < rows; row++)
                {
                    drawn[row] = random.Next(-1, 50);
                    kept[row * slots + (positions[row] + step) % slots] = drawn[row];
                }
                ((DeviceSpan)ids).Upload<int>(drawn);
                backend.FeedBack(batch, ids, history, slots);
                download.Start();
                Assert.Equal(drawn.Select(id => Math.Max(id, 0)), ((DeviceSpan)ids).ToArray<int>(rows));
                Assert.Equal(kept, download.Wait().ToArray());
                Assert.Equal(positions.Select(p => p + step + 1), ((DeviceSpan)batch.Positions).ToArray<int>(rows));
            }
            Assert.Contains("3", Assert.Throws<ArgumentException>(() => backend.FeedBack(batch, ids, history, 3)).Message, StringComparison.Ordinal);
            batch.SetPrefill(0, 1, new int[1]);
            Assert.Throws<ArgumentException>(() => backend.FeedBack(batch, ids, history, slots));
        }
    }

    [Fact]
    public void APenaltyNeedsTheText()
    {
        using var backend = Open("");
        using var buffer = backend.Allocate(64, "test");
        Assert.Contains("1.1", Assert.Throws<ArgumentException>(() => backend.Sample(buffer, 1, 4, new SamplingOptions { RepetitionPenalty = 1.1f }, buffer, buffer)).Message, StringComparison.Ordinal);
    }

    private ComputeBackend Open(string kind) => kind.Length > 0 ? GpuBackend.Create(accelerators.Open(Enum.Parse<GpuKind>(kind)), leaveOpen: true) : new CpuBackend(2);

    private static (int[] Ids, int[] Draws) Draw(ComputeBackend backend, float[] logits, int rows, SamplingOptions options, int[] drawn)
    {
        using var input = backend.Allocate((long)logits.Length * sizeof(float), "test");
        using var draws = backend.Allocate((long)rows * sizeof(int), "test");
        using var ids = backend.Allocate((long)rows * sizeof(int), "test");
        ((DeviceSpan)input).Upload<float>(logits);
        ((DeviceSpan)draws).Upload<int>(drawn);
        ((DeviceSpan)ids).Upload<int>([.. Enumerable.Repeat(-7, rows)]);
        backend.Sample(input, rows, logits.Length / rows, options, draws, ids);
        return (((DeviceSpan)ids).ToArray<int>(rows), ((DeviceSpan)draws).ToArray<int>(rows));
    }
}
