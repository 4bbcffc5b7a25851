using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>How the groups of a set share its tokens out.</summary>
public sealed class ResidentSharesTests
{
    [Fact]
    public void EveryTokenHasOneGroup()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int i = 0; i < 3000; i++)
        {
            int groups = random.Next(1, 265), budget = 1 + (int)(Math.Pow(random.NextDouble(), 4) * 8_000_000), open = Math.Min(budget, random.Next(1, 2049)), before = budget - random.Next(1, open + 1);
            var shares = ResidentShares.Of(budget, before, groups);
            string what = $"seed {seed}: {before} of {budget} tokens, {groups} groups";
            int[] counts = new int[groups];
            for (int group = 0, expected = 0; group < groups; group++)
            {
                int first = shares.First(group), end = shares.End(group, budget);
                Assert.True(first == expected && end >= first, $"{what}: group {group} has {first} to {end}, those before it end at {expected}");
                counts[group] = end - first;
                expected = end;
                if (group == groups - 1) Assert.True(expected == budget, what);
            }
            int[] alike = counts[..shares.Groups];
            Assert.True(alike.Max() - alike.Min() <= 1, what);
            if (shares.Groups == groups) continue;
            // the last one has all that is open, and fewer than the others, but for what is open
            Assert.True(shares.Tokens <= before && (counts[^1] == budget - before || Math.Abs(alike.Max() - counts[^1] - ResidentShares.RankTokens) <= 2), $"{what}: {counts[^1]} of {alike.Max()}");
        }
    }

    [Theory]
    // a 33rd of 4096 is what is attended to while the last group ranks; a set that is long enough for a share of its own
    [InlineData(4096, 4064, 33, 32, 4064)]
    [InlineData(16_384, 16_256, 8, 7, 14_532)]
    // as many open as there are tokens of a group, and one group
    [InlineData(4096, 2100, 33, 33, 4096)]
    [InlineData(1000, 990, 1, 1, 1000)]
    [InlineData(1, 0, 33, 32, 0)]
    public void SharesOfSets(int budget, int before, int groups, int alike, int tokens)
    {
        var shares = ResidentShares.Of(budget, before, groups);
        Assert.Equal((alike, tokens), (shares.Groups, shares.Tokens));
    }
}
