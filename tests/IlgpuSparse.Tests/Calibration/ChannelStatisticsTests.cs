using IlgpuSparse.Calibration;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>Statistics against their definitions, and calibration of a real model.</summary>
public class ChannelStatisticsTests
{
    private const int Layers = 2, Heads = 6, KvHeads = 2, HeadDim = 10, Group = Heads / KvHeads;

    private readonly int _seed = Random.Shared.Next();

    public static readonly TheoryData<CalibrationStatistic> Statistics = [.. Enum.GetValues<CalibrationStatistic>()];

    private static LlamaConfig Config => SmallConfig.Of(Heads, KvHeads, HeadDim, 8, Layers);

    /// <summary>Two kinds of text in chunks of odd sizes; every channel with its own mean and spread.</summary>
    [Theory]
    [MemberData(nameof(Statistics))]
    public void Scores_means_and_deviations_are_what_they_are_called(CalibrationStatistic statistic)
    {
        var random = new Random(_seed);
        var texts = new List<ChannelStatistics>();
        var q = new float[2][][]; // [text][layer]
        var k = new float[2][][];
        int[] tokens = [150, 90];
        for (int t = 0; t < 2; t++)
        {
            var sums = new ChannelStatistics(Config);
            q[t] = [.. Enumerable.Range(0, Layers).Select(_ => Numbers(random, tokens[t], Heads))];
            k[t] = [.. Enumerable.Range(0, Layers).Select(_ => Numbers(random, tokens[t], KvHeads))];
            for (int layer = 0; layer < Layers; layer++)
            {
                for (int start = 0; start < tokens[t];)
                {
                    int rows = Math.Min(random.Next(1, 40), tokens[t] - start);
                    sums.Add(layer, rows, q[t][layer].AsSpan(start * Heads * HeadDim, rows * Heads * HeadDim), k[t][layer].AsSpan(start * KvHeads * HeadDim, rows * KvHeads * HeadDim));
                    start += rows;
                }
            }
            Assert.Equal(tokens[t], sums.Tokens);
            texts.Add(sums);
        }
        var map = ChannelStatistics.Rank(texts, statistic, "print");
        Assert.Equal((statistic.ToString().ToLowerInvariant(), "print"), (map.Statistic, map.Fingerprint));
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int head = 0; head < KvHeads; head++)
            {
                var expected = new double[HeadDim];
                var means = new double[2, HeadDim];
                var squares = new double[2, HeadDim];
                for (int t = 0; t < 2; t++)
                {
                    var values = new double[HeadDim];
                    for (int c = 0; c < HeadDim; c++)
                    {
                        double[] keys = [.. Enumerable.Range(0, tokens[t]).Select(i => (double)k[t][layer][(i * KvHeads + head) * HeadDim + c])];
                        double[][] queries = [.. Enumerable.Range(0, Group).Select(g => Enumerable.Range(0, tokens[t]).Select(i => (double)q[t][layer][(i * Heads + head * Group + g) * HeadDim + c]).ToArray())];
                        means[t, c] = keys.Average();
                        squares[t, c] = keys.Average(x => x * x);
                        values[c] = statistic switch
                        {
                            CalibrationStatistic.Q => queries.Sum(g => g.Average(Math.Abs)),
                            CalibrationStatistic.K => keys.Average(Math.Abs),
                            CalibrationStatistic.Qk => queries.Sum(g => g.Zip(keys, (a, b) => Math.Abs(a * b)).Average()),
                            CalibrationStatistic.QkLayer => Enumerable.Range(0, Heads).Sum(h => Enumerable.Range(0, tokens[t])
                                .Average(i => Math.Abs((double)q[t][layer][(i * Heads + h) * HeadDim + c] * k[t][layer][(i * KvHeads + h / Group) * HeadDim + c]))),
                            _ => queries.Sum(g => g.Average(x => x * x)) * keys.Average(x => (x - means[t, c]) * (x - means[t, c])),
                        };
                    }
                    for (int c = 0; c < HeadDim; c++) expected[c] = Math.Max(expected[c], values[c] / values.Sum());
                }
                var found = map[layer, head];
                for (int c = 0; c < HeadDim; c++)
                {
                    double mean = (means[0, c] + means[1, c]) / 2, square = (squares[0, c] + squares[1, c]) / 2;
                    Assert.True(Math.Abs(expected[c] - found.Scores![c]) < 1e-5, $"seed {_seed}: score of channel {c}");
                    Assert.True(Math.Abs(mean - found.Mean![c]) < 1e-5, $"seed {_seed}: mean of channel {c}");
                    Assert.True(Math.Abs(Math.Sqrt(square - mean * mean) - found.Deviation![c]) < 1e-5, $"seed {_seed}: deviation of channel {c}");
                }
                Assert.Equal(Enumerable.Range(0, HeadDim).OrderByDescending(c => found.Scores![c]).ThenBy(c => c), found.Ranking);
            }
        }
    }

    [Fact]
    public void A_constant_channel_counts_for_the_paper_and_not_for_the_variance()
    {
        var random = new Random(_seed);
        float[] q = [.. Numbers(random, 50, Heads)], k = [.. Numbers(random, 50, KvHeads)];
        for (int i = 0; i < 50; i++) k[i * KvHeads * HeadDim + 4] = 1000;
        var sums = new ChannelStatistics(Config);
        for (int layer = 0; layer < Layers; layer++) sums.Add(layer, 50, q, k);
        Assert.Equal(4, ChannelStatistics.Rank([sums], CalibrationStatistic.Qk, "")[0, 0].Ranking[0]);
        Assert.Equal(4, ChannelStatistics.Rank([sums], CalibrationStatistic.Variance, "")[0, 0].Ranking[^1]);
        Assert.Throws<ArgumentException>(() => ChannelStatistics.Rank([new ChannelStatistics(Config)], CalibrationStatistic.K, ""));
        Assert.Throws<ArgumentException>(() => ChannelStatistics.Rank([], CalibrationStatistic.K, ""));
    }

    /// <summary>Windows are sequences of their own, so their order and the size of the chunks do not matter.</summary>
    [Fact]
    public void Calibration_of_a_model_does_not_depend_on_chunks_or_the_order_of_windows()
    {
        using var model = ModelFile.Open(TestFiles.Model);
        using var backend = new CpuBackend(2);
        using var weights = LlamaWeights.Load(backend, model);
        int[][] windows = [[.. Enumerable.Range(5, 70)], [.. Enumerable.Range(900, 41)]];
        var first = Run(64, windows);
        var second = Run(13, [windows[1], windows[0]]);
        for (int layer = 0; layer < model.Config.Layers; layer++)
        {
            for (int head = 0; head < model.Config.KvHeads; head++)
            {
                for (int c = 0; c < model.Config.HeadDim; c++)
                {
                    Assert.Equal(first[layer, head].Scores![c], second[layer, head].Scores![c], 1e-5);
                    Assert.Equal(first[layer, head].Mean![c], second[layer, head].Mean![c], 1e-3);
                    Assert.Equal(first[layer, head].Deviation![c], second[layer, head].Deviation![c], 1e-3);
                }
            }
        }

        ChannelMap Run(int chunk, int[][] windows)
        {
            using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = 256, KvFormat = IlgpuSparse.Compute.KvFormat.F32, PrefillChunk = chunk });
            var calibrator = new Calibrator(decoder);
            var sums = new ChannelStatistics(model.Config);
            foreach (int[] window in windows) calibrator.Gather(sums, window, cancellation: TestContext.Current.CancellationToken);
            Assert.Equal(111, sums.Tokens);
            Assert.Throws<ArgumentException>(() => calibrator.Gather(sums, new int[300]));
            return ChannelStatistics.Rank([sums], CalibrationStatistic.Variance, model.Fingerprint);
        }
    }

    private static float[] Numbers(Random random, int tokens, int heads)
    {
        float[] spread = RandomWeights.Normals(random, heads * HeadDim), mean = RandomWeights.Normals(random, heads * HeadDim);
        return [.. Enumerable.Range(0, tokens * heads * HeadDim).Select(i => mean[i % mean.Length] + spread[i % spread.Length] * RandomWeights.Normal(random))];
    }
}
