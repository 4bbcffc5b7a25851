using IlgpuSparse.Generation;

namespace IlgpuSparse.Tests.Generation;

public class SamplerTests
{
    [Fact]
    public void Greedy_takes_the_largest_and_the_lowest_id_among_equals() =>
        Assert.Equal(1, new Sampler(SamplingOptions.Greedy).Next([0f, 3f, 3f, float.NaN, float.NegativeInfinity]));

    [Fact]
    public void The_same_seed_draws_the_same_tokens_and_another_seed_others()
    {
        float[] logits = [.. Enumerable.Range(0, 1000).Select(i => MathF.Sin(i))];
        int[] Draw(ulong seed)
        {
            var sampler = new Sampler(new SamplingOptions { Temperature = 1, Seed = seed });
            return [.. Enumerable.Range(0, 50).Select(_ => sampler.Next(logits))];
        }
        Assert.Equal(Draw(7), Draw(7));
        Assert.NotEqual(Draw(7), Draw(8));
    }

    [Fact]
    public void Frequencies_follow_the_tempered_softmax()
    {
        float[] logits = [0f, 1f, 2f, -1f];
        const int draws = 40000;
        const float temperature = 0.7f;
        var sampler = new Sampler(new SamplingOptions { Temperature = temperature, Seed = (ulong)Random.Shared.NextInt64() });
        var counts = new int[4];
        for (int i = 0; i < draws; i++) counts[sampler.Next(logits)]++;
        double total = logits.Sum(x => Math.Exp(x / temperature));
        for (int i = 0; i < 4; i++)
        {
            double p = Math.Exp(logits[i] / temperature) / total;
            Assert.InRange(counts[i], draws * p - 6 * Math.Sqrt(draws * p), draws * p + 6 * Math.Sqrt(draws * p)); // six standard deviations
        }
    }

    [Fact]
    public void Filters_keep_exactly_their_sets()
    {
        float[] logits = [MathF.Log(0.1f), MathF.Log(0.4f), MathF.Log(0.3f), MathF.Log(0.2f)];
        Assert.Equal([1, 2], Drawn(logits, new SamplingOptions { Temperature = 1, TopK = 2 }));
        Assert.Equal([1, 2], Drawn(logits, new SamplingOptions { Temperature = 1, TopP = 0.65f }));
        Assert.Equal([1, 2, 3], Drawn(logits, new SamplingOptions { Temperature = 1, MinP = 0.45f }));
        Assert.Equal([1], Drawn(logits, new SamplingOptions { Temperature = 1, TopP = 1e-6f }));
        Assert.Equal([0, 1, 2, 3], Drawn(logits, new SamplingOptions { Temperature = 1 }));
    }

    /// <summary>Each filter looks at what the one before it left: top-k, then top-p of those, then min-p.</summary>
    [Fact]
    public void Filters_apply_in_their_order()
    {
        float[] logits = [MathF.Log(0.05f), MathF.Log(0.4f), MathF.Log(0.3f), MathF.Log(0.25f)];
        Assert.Equal([1, 2], Drawn(logits, new SamplingOptions { Temperature = 1, TopK = 2, TopP = 0.6f })); // 0.4 / 0.7 < 0.6
        Assert.Equal([1, 2, 3], Drawn(logits, new SamplingOptions { Temperature = 1, TopP = 0.9f, MinP = 0.5f }));
        Assert.Equal([1], Drawn(logits, new SamplingOptions { Temperature = 1, TopP = 0.35f, MinP = 0.7f }));
        Assert.Equal([1, 2], Drawn(logits, new SamplingOptions { Temperature = 1, TopP = 0.5f, MinP = 0.7f })); // 0.4 of 1 is less than half, 0.4 of 0.7 would not be
    }

    [Fact]
    public void Logits_that_are_not_finite_are_never_drawn()
    {
        float[] logits = [float.PositiveInfinity, 1f, float.NaN, 1f, float.NegativeInfinity];
        Assert.Equal([1, 3], Drawn(logits, new SamplingOptions { Temperature = 1 }));
        Assert.Equal([1, 3], Drawn(logits, new SamplingOptions { Temperature = 1, TopK = 5, TopP = 0.99f }));
        Assert.Equal(1, new Sampler(SamplingOptions.Greedy).Next(logits));
    }

    [Theory]
    [InlineData(1e-30f)]
    [InlineData(float.Epsilon)]
    public void Almost_no_temperature_is_greedy(float temperature) =>
        Assert.Equal([2], Drawn([-3e38f, 0f, 1e-3f, -1f], new SamplingOptions { Temperature = temperature, TopP = 0.9f }));

    [Fact]
    public void Equal_logits_keep_the_lowest_ids() =>
        Assert.Equal([0, 1, 2], Drawn(new float[20], new SamplingOptions { Temperature = 1, TopK = 3 }));

    [Fact]
    public void The_repetition_penalty_turns_to_other_tokens()
    {
        var sampler = new Sampler(new SamplingOptions { RepetitionPenalty = 2 });
        sampler.Observe([0]);
        Assert.Equal(1, sampler.Next([2f, 1.5f, 0.5f]));
        Assert.Equal(0, sampler.Next([2f, 1.5f, 0.5f]));
        Assert.Equal(2, new Func<int>(() =>
        {
            var negative = new Sampler(new SamplingOptions { RepetitionPenalty = 2 });
            negative.Observe([0, 1]);
            return negative.Next([-1f, -1.1f, -1.9f]);
        })());
    }

    [Theory]
    [InlineData(-1f, 0, 1f, 0f, 1f)]
    [InlineData(1f, -1, 1f, 0f, 1f)]
    [InlineData(1f, 0, 0f, 0f, 1f)]
    [InlineData(1f, 0, 1f, 2f, 1f)]
    [InlineData(1f, 0, 1f, 0f, 0f)]
    [InlineData(float.NaN, 0, 1f, 0f, 1f)]
    public void Options_outside_their_ranges_are_refused(float temperature, int topK, float topP, float minP, float penalty) =>
        Assert.Throws<ArgumentException>(() => new Sampler(new SamplingOptions { Temperature = temperature, TopK = topK, TopP = topP, MinP = minP, RepetitionPenalty = penalty }));

    [Fact]
    public void Logits_without_a_number_are_an_error() =>
        Assert.Throws<ArithmeticException>(() => new Sampler(SamplingOptions.Greedy).Next([float.NaN, float.NaN]));

    private static int[] Drawn(float[] logits, SamplingOptions options)
    {
        var sampler = new Sampler(options with { Seed = 1 });
        return [.. Enumerable.Range(0, 500).Select(_ => sampler.Next(logits)).Distinct().Order()];
    }
}
