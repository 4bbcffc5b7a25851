using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Gpu;
using static IlgpuSparse.Tests.Cache.HostKvCase;

namespace IlgpuSparse.Tests.Cache;

/// <summary>Which layers are predicted, and which missed rows are fetched late.</summary>
[Collection("accelerators")]
public abstract class HostKvPredictionTests(Accelerators accelerators, GpuKind kind)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(0.25f, "1/8,channels=8", true, true)]
    [InlineData(0.35f, "1/8,channels=8", false, false)]
    // smaller sets than those that were judged, and other labels, of which the first are known
    [InlineData(0.25f, "1/4,channels=8", true, false)]
    [InlineData(0.25f, "1/8,channels=16", true, false)]
    [InlineData(0f, "1/4,channels=8", true, true)]
    public void Layers_that_calibration_could_not_predict_are_fetched_on_demand(float least, string judged, bool late, bool trust)
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/8,channels=8", KvFormat.F16, 1024) with { KvPlacement = KvPlacement.Host };
        var map = TestChannels.Create(Config, predictions: [new("double-sparsity:tokens=1/8,label=rotated", [0, 0.9f]), new($"double-sparsity:tokens={judged}", [0, 0.3f])]);
        // of either kind: trusted rows would be other ones
        foreach (var (prediction, predicts) in ((KvPrediction, bool)[])[(KvPrediction.Late, late), (KvPrediction.Trust, trust)])
        {
            var (expected, plain, _) = Step(backend, weights, options);
            var (actual, counts, _) = Step(backend, weights, options with { Channels = map, KvPrediction = prediction, KvLeastRecall = least });
            Assert.Equal(predicts, counts.PredictedRows > 0);
            if (predicts) continue;
            Assert.Equal(expected, actual);
            Assert.Equal(plain, counts);
        }
    }

    [Theory]
    [InlineData(1f)]
    [InlineData(1024f)]
    public void Missed_rows_below_the_threshold_are_dropped_and_their_mass_with_them(float least)
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        // labels of random codes score high: a low temperature keeps some mass everywhere
        var options = Options("double-sparsity:tokens=1/4,channels=8,mean-value=on,temperature=0.05,sets=head", KvFormat.F16, 1024) with { KvPlacement = KvPlacement.Host, HotTokens = 64, KvPrediction = KvPrediction.Late };
        var (_, all, before) = Step(backend, weights, options);
        var (logits, counts, after) = Step(backend, weights, options with { KvLateLeast = least });
        Assert.All(logits, logit => Assert.True(float.IsFinite(logit)));
        Assert.Equal(0, all.DroppedRows);
        Assert.True(counts.DroppedRows > 0, $"{counts} (seed {_seed})");
        Assert.Equal(all.HostRows, counts.HostRows + counts.DroppedRows);
        Assert.Equal((all.AheadRows, all.ResidentRows), (counts.AheadRows, counts.ResidentRows));
        float scale = TokenMass.Scale(0.05f);
        for (int set = 0; set < Config.Heads; set++)
        {
            int[] tokens = before.Tokens[set];
            float[] scores = [.. tokens.Select(token => before.Scores[set][token])];
            ulong[] masses = [.. scores.Select(score => (ulong)TokenMass.Weight(score, scores.Max(), scale))];
            ulong sum = masses.Aggregate((a, b) => a + b), left = 0;
            var expected = new List<int>();
            foreach (var (token, mass) in tokens.Zip(masses))
            {
                // resident: the first block, and the last one with the window before it
                bool there = token < KvLayer.BlockTokens || token >= 2 * KvLayer.BlockTokens || before.Predicted[set].Contains(token);
                if (!there && mass * (double)tokens.Length < sum * (double)least) continue;
                expected.Add(token);
                left += mass;
            }
            Assert.Equal(expected, after.Tokens[set]);
            Assert.Equal(before.Shares[set] * ((double)left / sum), after.Shares[set], 1e-6);
        }
    }

    [Fact]
    public void Layers_that_are_brought_whole_are_counted_by_blocks_and_laid_out_anew_with_each()
    {
        Assert.SkipUnless(kind == GpuKind.CpuAccelerator, "what is checked is on the host");
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        using var decoder = new LlamaDecoder(backend, weights, Options("dense", KvFormat.F16, 2048) with { KvPlacement = KvPlacement.Host, MaxSequences = 2 });
        using CacheSequence first = decoder.NewSequence(), second = decoder.NewSequence();
        Contents(decoder, new Random(_seed), first, 600);
        Contents(decoder, new Random(_seed), second, 300);
        var host = (HostKvCache)decoder.Cache;
        decoder.Decode([first, second], [1, 2]);
        // two whole blocks and one, K and V, of two layers
        Assert.Equal(3L * 2 * 2 * KvLayer.BlockTokens * 32, host.Counts().BusBytes);
        using var batch = new StepBatch(backend, 2, 2, decoder.Cache.Blocks);
        int[] Layout(int[] positions, params CacheSequence[] sequences)
        {
            batch.SetDecode(positions, [.. sequences.Select(s => s.Blocks)]);
            return decoder.Cache.Layout(batch);
        }
        first.Reserve(800);
        Assert.Equal(Layout([600, 300], first, second), Layout([767, 511], first, second));
        Assert.NotEqual(Layout([767, 300], first, second), Layout([768, 300], first, second));
        Assert.NotEqual(Layout([300, 300], first, second), Layout([300, 300], second, first));
    }

    private sealed record Lists(List<int[]> Tokens, List<int[]> Predicted, List<float[]> Scores, float[] Shares);

    // One step behind 700 tokens, and the lists of the last layer.
    private (float[] Logits, OffloadCounts Counts, Lists Lists) Step(GpuBackend backend, LlamaWeights weights, DecoderOptions options)
    {
        using var decoder = new LlamaDecoder(backend, weights, options);
        using var sequence = decoder.NewSequence();
        Contents(decoder, new Random(_seed), sequence, 700);
        var policy = (DoubleSparsityPolicy)decoder.Policy;
        Lists? lists = null;
        decoder.Attended = (layer, batch, _, _) =>
        {
            if (layer == 0) return;
            var sets = policy.Sets;
            float[] scores = ((DeviceSpan)policy.Scores.Buffer).ToArray<float>(sets.Sets * policy.Scores.Capacity);
            lists = new Lists(Tokens(sets), policy.PredictedSetsOf(layer, batch) is { } predicted ? Tokens(predicted) : [], [.. scores.Chunk(policy.Scores.Capacity)], sets.Shares is null ? [] : ((DeviceSpan)sets.Shares).ToArray<float>(sets.Sets));
        };
        float[] logits = decoder.Decode([sequence], [3]).ToArray();
        return (logits, ((HostKvCache)decoder.Cache).Counts(), lists!);
    }

    private static List<int[]> Tokens(TokenSets sets)
    {
        int[] counts = ((DeviceSpan)sets.Counts).ToArray<int>(sets.Sets), tokens = ((DeviceSpan)sets.Indices).ToArray<int>(sets.Sets * sets.Capacity);
        return [.. counts.Select((count, set) => tokens.AsSpan(set * sets.Capacity, count).ToArray())];
    }

    private GpuBackend Open() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
}

public sealed class CpuAcceleratorHostKvPredictionTests(Accelerators accelerators) : HostKvPredictionTests(accelerators, GpuKind.CpuAccelerator);

public sealed class CudaHostKvPredictionTests(Accelerators accelerators) : HostKvPredictionTests(accelerators, GpuKind.Cuda);
