using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Cache;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>How much of a set is known a layer ahead.</summary>
public sealed class PredictionProbeTests
{
    private static readonly LlamaConfig s_config = ModelShapes.Find("llama-3-8b", layers: 3) with { VocabularySize = 50, HiddenSize = 64, IntermediateSize = 64, Heads = 4, KvHeads = 2, HeadDim = 16 };

    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData("double-sparsity:tokens=1/1,channels=8", true)]
    [InlineData("double-sparsity:tokens=1/8,channels=8", false)]
    [InlineData("double-sparsity:tokens=1/8,channels=8,mean-value=on", false)]
    public void Recall_is_the_share_of_real_sets_that_predicted_ones_hold(string attention, bool everything)
    {
        var backend = new CpuBackend(1);
        using (backend)
        using (var weights = RandomModel.Create(backend, s_config, WeightFormat.F16, _seed))
        {
            using var probe = new PredictionProbe(backend, weights, TestChannels.Create(s_config), AttentionOptions.Parse(attention), 200);
            var random = new Random(_seed);
            int[] window = [.. Enumerable.Range(0, 200).Select(_ => random.Next(50))];
            probe.Add(window, 40, TestContext.Current.CancellationToken);
            var result = probe.Result();
            Assert.Equal(AttentionOptions.Parse(attention).ToString(), result.Attention);
            Assert.Equal(3, result.Recall.Count);
            Assert.Equal(0, result.Recall[0]); // nothing is before it
            // better than sets drawn at random, and of random weights never perfect
            Assert.All(result.Recall.Skip(1), share => Assert.True(everything ? share == 1 : share is > 0.125f and < 1, $"{share} (seed {_seed})"));
            Assert.Throws<ArgumentOutOfRangeException>(() => probe.Add(window, 200, TestContext.Current.CancellationToken));
            Assert.Throws<ArgumentException>(() => new PredictionProbe(backend, weights, TestChannels.Create(s_config), AttentionOptions.Dense, 200));
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    [Theory]
    [InlineData(KvPrediction.Off)]
    [InlineData(KvPrediction.Late)]
    [InlineData(KvPrediction.Trust)]
    public void Tokens_go_one_by_one_where_layers_are_predicted(KvPrediction prediction)
    {
        using var backend = new CpuBackend(1);
        using var weights = RandomModel.Create(backend, s_config, WeightFormat.F16, _seed);
        var options = new DecoderOptions { Capacity = 64, MaxSequences = 2, Attention = AttentionOptions.Parse("double-sparsity:tokens=1/8,channels=8"), Channels = TestChannels.Create(s_config), KvPrediction = prediction, KvLeastRecall = 0 };
        using var decoder = new LlamaDecoder(backend, weights, options);
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, [1, 2, 3], cancellation: TestContext.Current.CancellationToken);
        // a layer is predicted before the keys of the tokens behind have labels in it
        if (prediction == KvPrediction.Off) Assert.Equal(2 * s_config.VocabularySize, decoder.DecodeRun(sequence, [4, 5]).Length);
        else Assert.Throws<ArgumentException>(() => decoder.DecodeRun(sequence, [4, 5]));
    }
}
