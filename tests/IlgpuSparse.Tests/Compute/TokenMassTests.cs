using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Compute;

public class TokenMassTests
{
    private readonly int _seed = Random.Shared.Next();

    [Fact]
    public void WeightsAreExponentials()
    {
        var random = new Random(_seed);
        for (int i = 0; i < 100_000; i++)
        {
            float maximum = 40 * (random.NextSingle() - 0.5f), below = 25 * random.NextSingle(), temperature = 0.25f + 2 * random.NextSingle(), score = maximum - below;
            double exact = TokenMass.One * Math.Exp(((double)score - maximum) * temperature);
            uint weight = TokenMass.Weight(score, maximum, TokenMass.Scale(temperature));
            // the difference of the scores is rounded to fp32 first
            Assert.True(Math.Abs(weight - exact) <= 1e-4 * exact + 1, $"{score} of {maximum} at {temperature}: {weight}, not {exact} (seed {_seed})");
        }
    }

    [Theory]
    [InlineData(1f, 1f, TokenMass.One)]
    [InlineData(float.PositiveInfinity, float.PositiveInfinity, TokenMass.One)]
    [InlineData(float.NegativeInfinity, float.NegativeInfinity, TokenMass.One)]
    [InlineData(3e38f, float.PositiveInfinity, 0u)]
    [InlineData(float.NegativeInfinity, 0f, 0u)]
    [InlineData(float.NaN, 0f, 0u)]
    [InlineData(float.NaN, float.NaN, 0u)]
    [InlineData(-3e38f, 3e38f, 0u)]
    [InlineData(-21.4f, 0f, 0u)]
    public void SpecialScoresHaveDefinedWeights(float score, float maximum, uint weight) => Assert.Equal(weight, TokenMass.Weight(score, maximum, TokenMass.Scale(1)));

    [Fact]
    public void TargetsRoundUp()
    {
        var random = new Random(_seed);
        for (int i = 0; i < 10_000; i++)
        {
            ulong total = (ulong)random.NextInt64(1L << random.Next(1, 55));
            uint share = (uint)random.Next(1, 65536);
            Assert.Equal((ulong)(((UInt128)total * share + 65535) / 65536), TokenMass.Target(total, share));
        }
    }
}
