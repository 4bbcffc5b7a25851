using IlgpuSparse.Calibration;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Attention;

/// <summary>What the methods to compare with choose, and what they give, against their papers written out in double precision.</summary>
public sealed class HostPolicyTests
{
    private readonly int _seed = Random.Shared.Next();

    // length, heads, kv heads, head size, prefilled: a block's border inside, nothing a multiple of anything
    public static readonly TheoryData<int, int, int, int, int> Shapes = new()
    {
        { 331, 4, 2, 32, 290 },
        { 77, 6, 2, 80, 61 },
        { 300, 3, 3, 64, 9 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Quest_reads_the_pages_with_the_best_bounds_and_the_last(int length, int heads, int kvHeads, int headDim, int prefilled)
    {
        using var it = new HostPolicyCase(new Random(_seed), "quest:tokens=1/3,page=8", length, heads, kvHeads, headDim, prefilled);
        for (int position = prefilled; position < length; position++)
        {
            int[][] sets = it.Step(position).Sets[0];
            int pages = position / 8 + 1, wanted = Math.Min(pages, Math.Max(3, (position + 3) / 3 / 8));
            for (int head = 0; head < heads; head++)
            {
                double Bound(int page) => page == pages - 1 ? double.PositiveInfinity : Enumerable.Range(0, headDim).Sum(c =>
                {
                    double[] keys = [.. Enumerable.Range(page * 8, Math.Min(8, position + 1 - page * 8)).Select(t => (double)it.Key(t, head / (heads / kvHeads))[c])];
                    double q = it.Query(position, head)[c];
                    return Math.Max(q * keys.Min(), q * keys.Max());
                });
                var best = Enumerable.Range(0, pages).OrderByDescending(Bound).Take(wanted);
                Same([.. best.SelectMany(p => Enumerable.Range(p * 8, Math.Min(8, position + 1 - p * 8)))], sets[head], t => Bound(t / 8), $"position {position} head {head}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Sparq_reads_the_best_by_the_largest_channels_and_the_last(int length, int heads, int kvHeads, int headDim, int prefilled)
    {
        const int R = 5;
        using var it = new HostPolicyCase(new Random(_seed), $"sparq:tokens=1/8,r={R}", length, heads, kvHeads, headDim, prefilled);
        for (int position = prefilled; position < length; position++)
        {
            var (output, sets) = it.Step(position);
            int group = heads / kvHeads, budget = (position + 8) / 8;
            for (int kvHead = 0; kvHead < kvHeads; kvHead++)
            {
                int[] members = [.. Enumerable.Range(kvHead * group, group)];
                int[] channels = [.. Enumerable.Range(0, headDim).OrderByDescending(c => members.Sum(h => Math.Abs(it.Query(position, h)[c]))).Take(R)];
                double[][] weights = [.. members.Select(h =>
                {
                    double Size(IEnumerable<int> of) => of.Sum(c => Math.Abs((double)it.Query(position, h)[c]));
                    double scale = Math.Sqrt(headDim * Size(channels) / Size(Enumerable.Range(0, headDim)));
                    double[] e = [.. Enumerable.Range(0, position + 1).Select(t => Math.Exp(channels.Sum(c => (double)it.Query(position, h)[c] * it.Key(t, kvHead)[c]) / scale))];
                    return e.Select(x => x / e.Sum()).ToArray();
                })];
                double Score(int t) => t > position - Math.Max(1, budget / 4) ? double.PositiveInfinity : weights.Sum(w => w[t]);
                int[] expected = [.. Enumerable.Range(0, position + 1).OrderByDescending(Score).Take(budget)];
                double[] mean = [.. Enumerable.Range(0, headDim).Select(c => Enumerable.Range(0, position + 1).Average(t => (double)it.Values[(t * kvHeads + kvHead) * headDim + c]))];
                for (int g = 0; g < group; g++)
                {
                    Same(expected, sets[0][members[g]], Score, $"position {position} head {members[g]}");
                    double share = sets[0][members[g]].Sum(t => weights[g][t]);
                    double[] y = it.Output(position, members[g], sets[0][members[g]]);
                    for (int c = 0; c < headDim; c++) Assert.Equal(share * y[c] + (1 - share) * mean[c], output[members[g] * headDim + c], 2e-3);
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Published_labels_have_the_channels_of_the_layer_and_scales_of_the_token(int length, int heads, int kvHeads, int headDim, int prefilled)
    {
        const int R = 9;
        var random = new Random(_seed);
        int[] everyone = [.. Enumerable.Range(0, headDim)];
        random.Shuffle(everyone);
        var config = SmallConfig.Of(heads, kvHeads, headDim, 2048);
        var map = new ChannelMap("test", "qklayer", headDim, config.RopeStyle, null, [[.. Enumerable.Range(0, kvHeads).Select(_ => new HeadChannels(everyone))]]);
        using var it = new HostPolicyCase(random, $"double-sparsity-published:tokens=1/8,channels={R}", length, heads, kvHeads, headDim, prefilled, map);
        for (int position = prefilled; position < length; position++)
        {
            int[][] sets = it.Step(position).Sets[0];
            for (int head = 0; head < heads; head++)
            {
                double[] query = Rounded(it.Query(position, head));
                double Score(int t) => t == position ? double.PositiveInfinity : query.Zip(Rounded(it.Key(t, head / (heads / kvHeads))), (a, b) => a * b).Sum();
                Same([.. Enumerable.Range(0, position + 1).OrderByDescending(Score).Take((position + 8) / 8)], sets[head], Score, $"position {position} head {head}");
            }
        }

        double[] Rounded(ReadOnlySpan<float> row)
        {
            // in single precision: where a channel lies between two codes, rounding decides
            var values = new float[R];
            for (int i = 0; i < R; i++) values[i] = row[everyone[i]];
            float least = values.Min(), levels = 15 / (values.Max() - least);
            return [.. values.Select(v => least + MathF.Round((v - least) * levels) / (double)levels)];
        }
    }

    [Fact]
    public void Rankings_of_the_heads_become_one_of_the_layer_by_the_sum_of_ranks()
    {
        var map = new ChannelMap("test", "qk", 4, RopeStyle.HalfSplit, null, [[new HeadChannels([2, 0, 1, 3]), new HeadChannels([0, 3, 2, 1])]]);
        Assert.Equal([0, 2, 3, 1], IlgpuSparse.Attention.Policies.PublishedDoubleSparsityPolicy.OfLayer(map, 0));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Loki_reads_the_best_by_the_leading_components(int length, int heads, int kvHeads, int headDim, int prefilled)
    {
        const int R = 7;
        var random = new Random(_seed);
        using var directory = new TemporaryDirectory();
        string path = Path.Combine(directory.Path, "components.json");
        var covariance = new KeyCovariance(SmallConfig.Of(heads, kvHeads, headDim, 2048));
        covariance.Add(0, 200, RandomWeights.Normals(random, 200 * kvHeads * headDim));
        var components = covariance.Components(null);
        components.Save(path);
        using var it = new HostPolicyCase(random, $"loki:tokens=1/8,r={R},components={path}", length, heads, kvHeads, headDim, prefilled);
        for (int position = prefilled; position < length; position++)
        {
            int[][] sets = it.Step(position).Sets[0];
            for (int head = 0; head < heads; head++)
            {
                int kvHead = head / (heads / kvHeads);
                double Part(ReadOnlySpan<float> row, int i) => HostPolicyCase.Dot(row, components[0, kvHead].Slice(i * headDim, headDim));
                double Score(int t) => t == position ? double.PositiveInfinity : Enumerable.Range(0, R).Sum(i => Part(it.Query(position, head), i) * Part(it.Key(t, kvHead), i));
                Same([.. Enumerable.Range(0, position + 1).OrderByDescending(Score).Take((position + 8) / 8)], sets[head], Score, $"position {position} head {head}");
            }
        }
    }

    [Theory]
    [InlineData("h2o:tokens=1/5", false)]
    [InlineData("h2o:tokens=24", false)]
    [InlineData("h2o:tokens=1/5,sets=head", true)]
    public void H2o_keeps_what_got_most_attention_and_the_last_and_nothing_comes_back(string attention, bool setsOfHeads)
    {
        foreach (var shape in Shapes)
        {
            var (length, heads, kvHeads, headDim, prefilled) = shape.Data;
            using var it = new HostPolicyCase(new Random(_seed), attention, length, heads, kvHeads, headDim, prefilled);
            int sets = setsOfHeads ? heads : kvHeads, members = heads / sets;
            var mass = new double[sets, length];
            var there = Enumerable.Range(0, sets).Select(_ => Enumerable.Range(0, prefilled).ToList()).ToArray();
            for (int row = 0; row < prefilled; row++)
                for (int head = 0; head < heads; head++) Add(head / members, row, head, [.. Enumerable.Range(0, row + 1)]);
            it.Policy.Mark();
            for (int position = prefilled; position < length; position++)
            {
                int[][] read = it.Step(position).Sets[0];
                int budget = it.Options.Rule.Budget(position + 1), recent = position + 1 - (budget - budget / 2);
                for (int set = 0; set < sets; set++)
                {
                    there[set].Add(position);
                    if (there[set].Count > budget)
                    {
                        int[] last = [.. there[set].Where(t => t >= recent)];
                        there[set] = [.. there[set].Where(t => t < recent).OrderByDescending(t => mass[set, t]).Take(budget - last.Length), .. last];
                    }
                    Same([.. there[set]], read[set], t => t >= recent ? double.PositiveInfinity : mass[set, t], $"position {position} set {set}");
                    // from here on with what it took, should two have been equal
                    there[set] = [.. read[set]];
                    for (int head = set * members; head < (set + 1) * members; head++) Add(set, position, head, read[set]);
                }
            }
            // taken back and asked again, in one run: as before
            it.Policy.Return();
            var together = it.Step(prefilled, length - prefilled);
            for (int set = 0; set < sets; set++) Assert.Equal(there[set].Order(), together.Sets[^1][set]);

            void Add(int set, int row, int head, int[] tokens)
            {
                double[] weights = it.Weights(row, head, tokens);
                for (int i = 0; i < tokens.Length; i++) mass[set, tokens[i]] += weights[i];
            }
        }
    }

    // A key is at its place in the text, so that places in the cache are those of a reference which counts anew.
    [Theory]
    [InlineData(RopeStyle.HalfSplit)]
    [InlineData(RopeStyle.Interleaved)]
    public void Streaming_with_positions_in_its_cache_gives_what_keys_at_those_positions_give(RopeStyle style)
    {
        const int Length = 331, Heads = 4, KvHeads = 2, HeadDim = 32, Prefilled = 320, Sinks = 3;
        using var it = new HostPolicyCase(new Random(_seed), $"streaming:tokens=1/10,sinks={Sinks},positions=cache", Length, Heads, KvHeads, HeadDim, Prefilled, style: style);
        float[] frequencies = IlgpuSparse.Compute.RopeTable.Frequencies(it.Config);
        for (int position = Prefilled; position < Length; position++)
        {
            var (output, sets) = it.Step(position);
            int budget = (position + 10) / 10;
            int[] kept = [.. Enumerable.Range(0, Sinks), .. Enumerable.Range(position + 1 - (budget - Sinks), budget - Sinks)];
            for (int head = 0; head < Heads; head++)
            {
                Assert.Equal(kept, sets[0][head / (Heads / KvHeads)]);
                double[] query = Turned(it.Query(position, head), budget - 1 - position);
                double[] logits = [.. kept.Select((t, place) => query.Zip(Turned(it.Key(t, head / (Heads / KvHeads)), place - t), (a, b) => a * b).Sum() / Math.Sqrt(HeadDim))];
                double sum = logits.Sum(Math.Exp);
                for (int c = 0; c < HeadDim; c++)
                {
                    double expected = kept.Select((t, i) => Math.Exp(logits[i]) / sum * it.Values[(t * KvHeads + head / (Heads / KvHeads)) * HeadDim + c]).Sum();
                    Assert.Equal(expected, output[head * HeadDim + c], 1e-3);
                }
            }
        }

        // turned on by some positions: the pair (a, b) as a complex number times e^(iφ)
        double[] Turned(ReadOnlySpan<float> row, int positions)
        {
            var result = new double[HeadDim];
            for (int i = 0; i < HeadDim / 2; i++)
            {
                int a = style == RopeStyle.HalfSplit ? i : 2 * i, b = style == RopeStyle.HalfSplit ? i + HeadDim / 2 : 2 * i + 1;
                var turned = new System.Numerics.Complex(row[a], row[b]) * System.Numerics.Complex.FromPolarCoordinates(1, positions * (double)frequencies[i]);
                (result[a], result[b]) = (turned.Real, turned.Imaginary);
            }
            return result;
        }
    }

    // Two sets with the same scores but for ties that rounding breaks.
    private void Same(int[] expected, int[] actual, Func<int, double> score, string where)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.Equal(actual.Length, actual.Distinct().Count());
        int[] missing = [.. expected.Except(actual)], extra = [.. actual.Except(expected)];
        if (missing.Length == 0) return;
        double least = missing.Min(score), most = extra.Max(score);
        Assert.True(Math.Abs(least - most) <= 1e-4 * Math.Max(1, Math.Abs(least)), $"seed {_seed}: {where} lacks a token with {least} and has one with {most}");
    }
}
