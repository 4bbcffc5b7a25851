using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The oracle's sets against products of the stored keys in double precision.</summary>
public sealed class OraclePolicyTests
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(1, 4, 4, 64)]
    [InlineData(37, 6, 2, 80)]
    [InlineData(700, 4, 2, 128)]
    public void Its_sets_are_the_exact_top_k(int length, int heads, int kvHeads, int headDim)
    {
        var random = new Random(_seed);
        using var backend = new CpuBackend(2);
        var config = SmallConfig.Of(heads, kvHeads, headDim, 2048);
        var options = new DecoderOptions { Capacity = 768, Attention = AttentionOptions.Parse("oracle:tokens=1/16") };
        using var cache = new KvCache(backend, config, options.KvFormat, options.Capacity);
        using var policy = (DoubleSparsityPolicy)options.Attention.Create(backend, config, cache, options);
        using var sequence = cache.NewSequence();
        sequence.Reserve(length);
        float[] keys = RandomWeights.Normals(random, length * kvHeads * headDim), queries = RandomWeights.Normals(random, heads * headDim);
        using var chunk = new StepBatch(backend, length, 1, cache.Blocks);
        chunk.SetPrefill(0, length, sequence.Blocks);
        using var k = Upload(keys);
        policy.Append(0, chunk, k);
        using var step = new StepBatch(backend, 1, 1, cache.Blocks);
        step.SetDecode([length - 1], [sequence.Blocks]);
        using var q = Upload(queries);
        policy.Select(0, step, q);

        int budget = (length + 15) / 16;
        Assert.Equal(heads, policy.Sets.Sets);
        int[] counts = ((DeviceSpan)policy.Sets.Counts).ToArray<int>(heads), indices = ((DeviceSpan)policy.Sets.Indices).ToArray<int>(heads * policy.Sets.Capacity);
        for (int head = 0; head < heads; head++)
        {
            Assert.Equal(budget, counts[head]);
            var set = indices.AsSpan(head * policy.Sets.Capacity, budget).ToArray();
            Assert.Equal(budget, set.Distinct().Count());
            Assert.Contains(length - 1, set);
            double[] scores = [.. Enumerable.Range(0, length).Select(t => Enumerable.Range(0, headDim)
                .Sum(c => (double)queries[head * headDim + c] * (double)(Half)keys[(t * kvHeads + head / (heads / kvHeads)) * headDim + c]))];
            double least = set.Where(t => t != length - 1).Select(t => scores[t]).DefaultIfEmpty(double.PositiveInfinity).Min();
            double greatest = Enumerable.Range(0, length).Except(set).Select(t => scores[t]).DefaultIfEmpty(double.NegativeInfinity).Max();
            Assert.True(least >= greatest - 1e-4, $"seed {_seed}: head {head} has a token with {least} and lacks one with {greatest}");
        }

        DeviceBuffer Upload(float[] values)
        {
            var buffer = backend.Allocate((long)values.Length * sizeof(float), "test");
            ((DeviceSpan)buffer).Upload<float>(values);
            return buffer;
        }
    }
}
