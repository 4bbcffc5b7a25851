using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>One budget dealt out to heads by what they win.</summary>
public class TokenSplitTests
{
    [Fact]
    public void The_mean_is_kept_and_who_wins_more_gets_more()
    {
        // a head that needs few tokens, one that wins by many, and two alike
        var map = Map([[s => 1, s => s < 0.3 ? 2 * s : 0.6 + 0.4 * s], [s => Math.Sqrt(s), s => Math.Sqrt(s)]]);
        foreach (double share in (double[])[1 / 16.0, 1 / 32.0, 1 / 64.0, 1 / 500.0])
        {
            int[][] units = TokenSplit.Deal(map, share, 0);
            Assert.Equal(4 * SelectionRule.FactorUnits, units.Sum(layer => layer.Sum()));
            Assert.All(units, layer => Assert.All(layer, u => Assert.InRange(u, TokenSplit.Least, TokenSplit.Most)));
            Assert.Equal(TokenSplit.Least, units[0][0]);
            Assert.InRange(units[1][1] - units[1][0], -SelectionRule.FactorUnits / 16, SelectionRule.FactorUnits / 16);
            Assert.True(share > 0.05 || units[0][1] < units[1][0], $"{share}: {units[0][1]}, {units[1][0]}"); // a root is steeper at few tokens
        }
        Assert.True(TokenSplit.Deal(map, 1 / 16.0, 0)[0][1] > SelectionRule.FactorUnits);
    }

    [Fact]
    public void Dense_layers_have_no_part()
    {
        var map = Map([[s => 1, s => 1], [s => Math.Sqrt(s), s => 1]]);
        int[][] units = TokenSplit.Deal(map, 1 / 16.0, 1);
        Assert.Equal(2 * SelectionRule.FactorUnits, Assert.Single(units).Sum());
        Assert.Equal(TokenSplit.Least, units[0][1]);
        Assert.Empty(TokenSplit.Deal(map, 1 / 16.0, 2));
    }

    [Fact]
    public void Between_known_shares_the_mass_rises()
    {
        float[] curve = [.. TokenSplit.Shares.Select(s => (float)Math.Sqrt(s))];
        for (int i = 0; i < curve.Length; i++) Assert.Equal(curve[i], TokenSplit.Held(curve, TokenSplit.Shares[i]), 1e-6);
        double last = 0;
        for (double share = 1e-5; share <= 1; share *= 1.1)
        {
            double held = TokenSplit.Held(curve, share);
            Assert.True(held > last, $"{share}: {held} after {last}");
            last = held;
        }
        Assert.Equal(1, TokenSplit.Held(curve, 1), 1e-9);
    }

    [Fact]
    public void Without_held_mass_it_is_refused() =>
        Assert.Contains("does not say", Assert.Throws<ArgumentException>(() => TokenSplit.Deal(new ChannelMap("old.json", "variance", 1, RopeStyle.Interleaved, null, [[new HeadChannels([0])]]), 0.1, 0)).Message, StringComparison.Ordinal);

    private static ChannelMap Map(Func<double, double>[][] curves) => new("test", "none", 1, RopeStyle.Interleaved, null,
        [.. curves.Select(layer => layer.Select(curve => new HeadChannels([0], Held: [.. TokenSplit.Shares.Select(s => (float)curve(s))])).ToArray())]);
}
