using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Sets of heads are as long as calibration dealt out, whatever budget is asked for.</summary>
public class HeadBudgetTests
{
    private const int Length = 4000, HeadDim = 64;

    [Theory]
    [InlineData("group")]
    [InlineData("head")]
    public void Sets_are_as_long_as_was_dealt(string sets)
    {
        var random = new Random(3);
        using var backend = new CpuBackend(2);
        var config = SmallConfig.Of(4, 2, HeadDim, Length + 96);
        int[] everyone = [.. Enumerable.Range(0, HeadDim)];
        HeadChannels[] heads = [new(everyone, Held: [.. TokenSplit.Shares.Select(_ => 1f)]), new(everyone, Held: [.. TokenSplit.Shares.Select(s => (float)Math.Sqrt(s))])];
        var map = new ChannelMap("test", "none", HeadDim, config.RopeStyle, null, [heads]);
        var decoder = new DecoderOptions { Capacity = Length + 96, KvFormat = KvFormat.F16, Channels = map, Attention = AttentionOptions.Parse($"double-sparsity:tokens=1/16,bits=16,budgets=head,sets={sets}"), PrefillChunk = Length };
        using var cache = new KvCache(backend, config, decoder.KvFormat, decoder.Capacity);
        using var policy = (DoubleSparsityPolicy)decoder.Attention.Create(backend, config, cache, decoder);
        using var sequence = cache.NewSequence();
        sequence.Reserve(Length);
        using var batch = new StepBatch(backend, Length, 1, cache.Blocks);
        batch.SetPrefill(0, Length, sequence.Blocks);
        using var k = Upload(Length * 2 * HeadDim);
        policy.Append(0, batch, k);
        batch.SetDecode([Length - 1], [sequence.Blocks]);
        using var q = Upload(4 * HeadDim);
        foreach (string tokens in (string[])["1/16", "1/64", "100"])
        {
            policy.Rule = AttentionOptions.Parse($"double-sparsity:tokens={tokens}").Rule;
            policy.Select(0, batch, q);
            int group = policy.Sets.Sets / 2;
            int[] counts = ((DeviceSpan)policy.Sets.Counts).ToArray<int>(policy.Sets.Sets);
            int few = policy.Rule.Scale(TokenSplit.Least).Budget(Length), many = policy.Rule.Scale(2 * SelectionRule.FactorUnits - TokenSplit.Least).Budget(Length);
            Assert.Equal([.. Enumerable.Repeat(few, group), .. Enumerable.Repeat(many, group)], counts);
            long expected = (few + many) * (sets == "head" ? 2 : 1) * 2 * HeadDim * sizeof(ushort) + Length * policy.AuxiliaryBytesPerToken;
            Assert.Equal(expected, policy.BytesRead(Length - 1));
            Assert.Equal(0, policy.BytesUnread(0, batch, policy.Sets));
        }

        DeviceBuffer Upload(int count)
        {
            var buffer = backend.Allocate((long)count * sizeof(float), "test");
            ((DeviceSpan)buffer).Upload<float>(RandomWeights.Normals(random, count));
            return buffer;
        }
    }

    [Fact]
    public void A_map_that_does_not_know_is_refused()
    {
        using var backend = new CpuBackend(1);
        var config = SmallConfig.Of(2, 1, HeadDim, 512);
        var map = new ChannelMap("test", "none", HeadDim, config.RopeStyle, null, [[new HeadChannels([.. Enumerable.Range(0, HeadDim)])]]);
        var decoder = new DecoderOptions { Capacity = 512, Channels = map, Attention = AttentionOptions.Parse("double-sparsity:bits=16,budgets=head") };
        using var cache = new KvCache(backend, config, decoder.KvFormat, decoder.Capacity);
        Assert.Contains("budgets=uniform", Assert.Throws<ArgumentException>(() => decoder.Attention.Create(backend, config, cache, decoder)).Message, StringComparison.Ordinal);
    }
}
