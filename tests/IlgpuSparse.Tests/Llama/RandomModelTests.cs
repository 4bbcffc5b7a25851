using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Llama;

/// <summary>Random weights are what they say, in every format that is made, and a decoder runs on them.</summary>
public sealed class RandomModelTests
{
    [Theory]
    [InlineData("llama-2-7b", 6_738_415_616)]
    [InlineData("llama-3-8b", 8_030_261_248)]
    [InlineData("mixtral-8x7b", 46_702_792_704)]
    public void Named_shapes_have_their_models_parameters(string name, long parameters)
    {
        var config = ModelShapes.Find(name);
        Assert.Equal(parameters, WeightPlan.Of(config).Sum(weight => weight.Shape.Aggregate(1L, (a, b) => a * b)));
        Assert.Equal(3, ModelShapes.Find(name, layers: 3).Layers);
    }

    [Fact]
    public void Unknown_shapes_are_refused_by_name() =>
        Assert.Contains("llama-3-8b", Assert.Throws<ArgumentException>(() => ModelShapes.Find("llama-9")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(WeightFormat.F32, 1e-6)]
    [InlineData(WeightFormat.F16, 1e-3)]
    [InlineData(WeightFormat.BF16, 5e-3)]
    [InlineData(WeightFormat.Q8_0, 0.01)]
    [InlineData(WeightFormat.Q4_0, 0.2)]
    [InlineData(WeightFormat.Q4_K, 0.1)]
    [InlineData(WeightFormat.Q6_K, 0.04)]
    public void Encoded_numbers_decode_to_themselves_within_a_step(WeightFormat format, double tolerance)
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var backend = new CpuBackend();
        const int rows = 3, columns = 512;
        float[] values = [.. Enumerable.Range(0, rows * columns).Select(_ => Compute.RandomWeights.Normal(random))];
        var bytes = new byte[format.ByteLength(values.Length)];
        WeightEncoder.Encode(format, values, bytes);
        using var data = backend.Allocate(bytes.Length, "weights");
        data.Upload(bytes);
        using var ids = backend.Allocate(rows * sizeof(int), "test");
        ((DeviceSpan)ids).Upload<int>([0, 1, 2]);
        using var x = backend.Allocate(values.Length * sizeof(float), "test");
        backend.Embed(new WeightMatrix("random", format, rows, columns, data), ids, rows, x);
        float[] decoded = ((DeviceSpan)x).ToArray<float>(values.Length);
        double mean = Math.Sqrt(values.Zip(decoded, (a, b) => (double)(a - b) * (a - b)).Average());
        Assert.True(mean <= tolerance, $"{format}: numbers of size 1 are off by {mean} in the mean (seed {seed})");
    }

    [Theory]
    [InlineData(WeightFormat.F16, 0)]
    [InlineData(WeightFormat.Q4_K, 0)]
    [InlineData(WeightFormat.Q8_0, 3)]
    public void A_decoder_runs_on_random_weights(WeightFormat format, int experts)
    {
        var config = ModelShapes.Find("llama-3-8b", layers: 2) with { VocabularySize = 300, HiddenSize = 256, IntermediateSize = 512, Heads = 4, KvHeads = 2, HeadDim = 64, QkvBias = true, Experts = experts, ActiveExperts = Math.Min(2, experts) };
        float[] first = Logits(config, format, 7);
        Assert.All(first, logit => Assert.True(float.IsFinite(logit)));
        Assert.True(first.Max() - first.Min() > 0.01f);
        Assert.Equal(first, Logits(config, format, 7));
        Assert.NotEqual(first, Logits(config, format, 8));
    }

    [Fact]
    public void Formats_that_are_not_made_are_refused()
    {
        using var backend = new CpuBackend();
        Assert.Contains("Q4_1", Assert.Throws<NotSupportedException>(() => RandomModel.Create(backend, ModelShapes.Find("llama-2-7b", 1), WeightFormat.Q4_1)).Message, StringComparison.Ordinal);
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    private static float[] Logits(LlamaConfig config, WeightFormat format, int seed)
    {
        using var backend = new CpuBackend();
        using var weights = RandomModel.Create(backend, config, format, seed);
        Assert.Equal(RandomModel.PlannedBytes(config, format), backend.Memory.ByPurpose["weights"]);
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = 64 });
        using var sequence = decoder.NewSequence();
        return decoder.Prefill(sequence, [1, 2, 3, 250]).ToArray();
    }
}
