using IlgpuSparse.Calibration;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>Directions and bits found for keys and queries whose structure is known.</summary>
public class LabelFitTests
{
    private const int HeadDim = 64;

    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    public LabelFitTests() => _random = new Random(_seed);

    [Fact]
    public void Eigenvectors_rebuild_the_matrix()
    {
        foreach (int n in (int[])[1, 2, 3, 17, 64])
        {
            var a = new double[n, n];
            for (int i = 0; i < n; i++)
                for (int j = 0; j <= i; j++) a[i, j] = a[j, i] = i == j && _random.Next(4) == 0 ? 0 : _random.NextDouble() - 0.5;
            var (values, vectors) = SymmetricEigen.Decompose(a);
            Assert.Equal(values.OrderByDescending(v => v), values);
            for (int i = 0; i < n; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double entry = 0, product = 0;
                    for (int k = 0; k < n; k++)
                    {
                        entry += values[k] * vectors[k][i] * vectors[k][j];
                        product += vectors[i][k] * vectors[j][k];
                    }
                    Assert.True(Math.Abs(entry - a[i, j]) < 1e-10 * n && Math.Abs(product - (i == j ? 1 : 0)) < 1e-10 * n, $"seed {_seed}, n = {n}, entry {i}, {j}");
                }
            }
        }
        Assert.Throws<ArgumentException>(() => SymmetricEigen.Decompose(new double[2, 3]));
        Assert.Throws<ArgumentException>(() => SymmetricEigen.Decompose(new[,] { { double.NaN } }));
    }

    [Fact]
    public void Bits_go_where_they_take_most_error()
    {
        double[] weights = [100, 1, 0, 10, 10];
        foreach (int total in (int[])[0, 1, 2, 7, 20, 30])
        {
            int[] bits = BitAllocation.Fill(weights, total);
            Assert.Equal(total, bits.Sum());
            Assert.All(bits, b => Assert.InRange(b, 0, BitAllocation.MostBits));
            Assert.True(bits[0] >= bits[3] && bits[3] >= bits[4] && bits[4] >= bits[1] && bits[1] >= bits[2]);
        }
        Assert.Equal([1, 0, 0, 0, 0], BitAllocation.Fill(weights, 1));
        Assert.Throws<ArgumentException>(() => BitAllocation.Fill(weights, 31));
    }

    [Fact]
    public void The_rank_is_that_of_a_sort()
    {
        for (int round = 0; round < 50; round++)
        {
            float[] values = [.. Enumerable.Range(0, _random.Next(1, 300)).Select(_ => (float)_random.Next(40))];
            int rank = _random.Next(1, values.Length + 1);
            Assert.Equal(values.OrderDescending().ElementAt(rank - 1), OrderStatistic.Largest(values, rank));
        }
    }

    /// <summary>Keys that vary along three directions that are no channels: a rotated label of few bits keeps what channels cannot.</summary>
    [Fact]
    public void Directions_keep_what_channels_cannot()
    {
        var config = SmallConfig.Of(2, 1, HeadDim, 2048);
        var sample = Sample(config, "text", 900);
        var statistics = new ChannelStatistics(config);
        Fill(sample, statistics, config, 900);
        var map = new LabelFit([sample]).Run(ChannelStatistics.Rank([statistics], CalibrationStatistic.Variance, "test"), search: true);
        Assert.True(map.HasBases);
        var held = map[0, 0].Held!;
        Assert.Equal(held.OrderDescending(), held);
        Assert.True(held[0] is > 0.75f and <= 1 && held[^1] > 0, $"seed {_seed}: {string.Join(' ', held)}");
        var plan = Assert.Single(map[0, 0].Plans!, p => p.Bits == 32);
        Assert.Equal(32, plan.Allocation.Sum());
        var fresh = Sample(config, "text", 900);
        Fill(fresh, statistics, config, 900);
        var judge = new LabelFit([fresh]);
        double rotated = judge.Kept(map, LabelKind.Rotated, 32)[0], mixed = judge.Kept(map, LabelKind.Mixed, 32)[0];
        Assert.True(rotated > 0.9 && mixed < rotated - 0.1, $"seed {_seed}: rotated {rotated}, mixed {mixed}");
    }

    /// <summary>The search never loses what it looks at.</summary>
    [Fact]
    public void A_search_keeps_at_least_what_it_began_with()
    {
        // a single query head a kv head: of several, the set with the highest scores of the group need not be the one with most of their mass
        var config = SmallConfig.Of(1, 1, HeadDim, 2048);
        var sample = Sample(config, "text", 500);
        var statistics = new ChannelStatistics(config);
        Fill(sample, statistics, config, 500);
        var basis = BasisFit.Fit([sample.Head(0, 0)], [1], HeadDim);
        var judge = new LabelJudge([sample.Head(0, 0)], HeadDim, LabelFit.Shares, 20);
        var codes = DirectionCodes.OfBasis(basis);
        int[] start = BitAllocation.Fill([.. Enumerable.Repeat(1.0, codes.Count)], 24), found = judge.Search(codes, start, 6);
        Assert.Equal(24, found.Sum());
        Assert.True(judge.Held(codes, found)[0].Sum() >= judge.Held(codes, start)[0].Sum() - 1e-9, $"seed {_seed}");
        Assert.All(judge.Held(codes, found)[0].Zip(judge.Best()[0]), pair => Assert.True(pair.First <= pair.Second + 1e-6, $"seed {_seed}: {pair.First} and {pair.Second}"));
    }

    /// <summary>Many directions for few bits: descent brings the attention by labels nearer to the true one than the closed form, whatever the number of threads.</summary>
    [Fact]
    public void Descent_brings_attention_nearer_to_the_true_one()
    {
        const int Directions = 20;
        var config = SmallConfig.Of(2, 1, HeadDim, 2048);
        var sample = Sample(config, "text", 900);
        var statistics = new ChannelStatistics(config);
        Fill(sample, statistics, config, 900, Directions, 4);
        var ranked = ChannelStatistics.Rank([statistics], CalibrationStatistic.Variance, "test");
        var fit = new LabelFit([sample]);
        ChannelMap closed = fit.Run(ranked, search: false), moved = fit.Run(ranked, search: false, threads: 1, steps: 150), again = fit.Run(ranked, search: false, threads: 2, steps: 150);
        Assert.Equal(closed[0, 0].Basis!.Weight, moved[0, 0].Basis!.Weight);
        Assert.Equal(moved[0, 0].Basis!.Keys, again[0, 0].Basis!.Keys);
        Assert.Equal(moved[0, 0].Basis!.Queries, again[0, 0].Basis!.Queries);
        double before = Divergence(closed[0, 0], sample), after = Divergence(moved[0, 0], sample);
        Assert.True(after < 0.95 * before, $"seed {_seed}: {before} before, {after} after");
    }

    /// <summary>Nothing to learn from, or no label that small: the directions stay.</summary>
    [Fact]
    public void Descent_without_queries_leaves_directions_as_they_are()
    {
        var config = SmallConfig.Of(2, 1, HeadDim, 2048);
        var sample = new CalibrationSample(config, "text", 4096);
        sample.Begin(300, []);
        var statistics = new ChannelStatistics(config);
        Fill(sample, statistics, config, 300);
        var basis = BasisFit.Fit([sample.Head(0, 0)], [1], HeadDim);
        Assert.Same(basis, new BasisTraining([sample.Head(0, 0)], [1], HeadDim).Run(basis, LabelFit.SearchedBits, 10, default));
        var asked = Sample(config, "text", 300);
        Fill(asked, statistics, config, 300);
        Assert.Same(basis, new BasisTraining([asked.Head(0, 0)], [1], HeadDim).Run(basis, [BitAllocation.MostBits * basis.Count + 1], 10, default));
        Assert.Throws<OperationCanceledException>(() => new BasisTraining([asked.Head(0, 0)], [1], HeadDim).Run(basis, LabelFit.SearchedBits, 10, new CancellationToken(canceled: true)));
    }

    // Mean over queries of Σ p·log(p / by labels of 32 bits).
    private static double Divergence(HeadChannels channels, CalibrationSample sample)
    {
        var window = sample.Head(0, 0)[0];
        var codes = channels.Codes(LabelKind.Rotated);
        int[] bits = channels.Allocate(LabelKind.Rotated, 32);
        float[][] values = [.. Enumerable.Range(0, codes.Count).Select(n => codes.Quantise(codes.Column(window, n), n, bits[n]))];
        double sum = 0;
        int queries = window.Queries.Length / HeadDim;
        for (int i = 0; i < queries; i++)
        {
            float[] query = window.Queries.AsSpan(i * HeadDim, HeadDim).ToArray();
            int visible = window.Visible[i * window.Visible.Length / queries];
            float[] truth = new float[visible], labels = new float[visible];
            for (int j = 0; j < visible; j++)
            {
                truth[j] = VectorMath.Dot(query, window.Keys.AsSpan(j * HeadDim, HeadDim)) / MathF.Sqrt(HeadDim);
                for (int n = 0; n < codes.Count; n++) labels[j] += codes.Query(query, n) * values[n][j] / MathF.Sqrt(HeadDim);
            }
            VectorMath.SoftMax(truth);
            VectorMath.SoftMax(labels);
            for (int j = 0; j < visible; j++)
                if (truth[j] > 0) sum += truth[j] * Math.Log(truth[j] / Math.Max(labels[j], 1e-30)) / queries;
        }
        return sum;
    }

    private static CalibrationSample Sample(LlamaConfig config, string name, int length)
    {
        var sample = new CalibrationSample(config, name, 4096);
        sample.Begin(length, Enumerable.Range(length / 2, length / 2).Where(p => p % 9 == 0));
        return sample;
    }

    // In two chunks, as a prefill has them.
    private void Fill(CalibrationSample sample, ChannelStatistics statistics, LlamaConfig config, int length, int count = 3, float querySize = 12)
    {
        var fixedDirections = new Random(5);
        float[][] directions = [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, HeadDim).Select(_ => (float)Attention.LabelCase.Normal(fixedDirections) / 8).ToArray())];
        float[] keys = new float[length * HeadDim], queries = new float[length * config.Heads * HeadDim];
        for (int t = 0; t < length; t++)
        {
            Along(directions, keys.AsSpan(t * HeadDim, HeadDim), 3);
            for (int h = 0; h < config.Heads; h++) Along(directions, queries.AsSpan((t * config.Heads + h) * HeadDim, HeadDim), querySize);
        }
        for (int layer = 0; layer < config.Layers; layer++)
        {
            int cut = length / 3;
            sample.Add(layer, 0, cut, queries, keys);
            sample.Add(layer, cut, length - cut, queries.AsSpan(cut * config.Heads * HeadDim), keys.AsSpan(cut * HeadDim));
            statistics.Add(layer, length, queries, keys);
        }
    }

    private void Along(float[][] directions, Span<float> x, float size)
    {
        for (int c = 0; c < x.Length; c++) x[c] = 0.02f * (float)Attention.LabelCase.Normal(_random);
        foreach (float[] direction in directions)
        {
            float amount = size * (float)Attention.LabelCase.Normal(_random);
            for (int c = 0; c < x.Length; c++) x[c] += amount * direction[c];
        }
    }
}
