using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Evaluation;
using IlgpuSparse.Llama;
using static IlgpuSparse.Tests.Attention.OnlineCalibrationCase;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Channel maps of texts: what they are made of, and when they are made anew.</summary>
public sealed class OnlineCalibrationTests : IDisposable
{
    private readonly OnlineCalibrationCase _case = new();

    /// <summary>Stretches of the prompt as kinds of text of an offline calibration over the same queries and keys; the offline sample has the queries that the text kept.</summary>
    [Fact]
    public void The_map_of_a_prompt_is_that_of_offline_calibration_on_its_tokens()
    {
        const int Stretches = 10;
        int[] prompt = _case.Prose[..(Stretches * OnlineCalibration.SegmentTokens)];
        using var decoder = _case.Decoder("label=rotated,label-bits=64,budgets=head", prefillChunk: OnlineCalibration.SegmentTokens);
        using (var sequence = decoder.NewSequence())
        {
            decoder.Prefill(sequence, prompt);
            Assert.Equal(0, decoder.Policy.CalibratedMaps); // no step needed it yet
            decoder.Decode([sequence], [prompt[0]]);
        }
        var text = Text(decoder);
        var made = text.Labels!.Map;

        var config = _case.Weights.Config;
        ChannelStatistics[] stretches = [.. Enumerable.Range(0, Stretches).Select(_ => new ChannelStatistics(config))];
        var sample = new CalibrationSample(config, "prompt", OnlineCalibration.MostKeys);
        var whole = new ChannelStatistics(config);
        using (var dense = new LlamaDecoder(_case.Backend, _case.Weights, new DecoderOptions { Capacity = prompt.Length, PrefillChunk = OnlineCalibration.SegmentTokens }))
        {
            new Calibrator(dense).Gather(whole, prompt, sample, text.Calibration.Queries.Positions.Where(p => p < prompt.Length));
            dense.Observer = (layer, batch, q, k) => stretches[batch.HostPositions[0] / OnlineCalibration.SegmentTokens].Add(layer, batch.Rows,
                q.ToArray<float>(batch.Rows * config.Heads * config.HeadDim), k.ToArray<float>(batch.Rows * config.KvHeads * config.HeadDim));
            using var sequence = dense.NewSequence();
            dense.Prefill(sequence, prompt);
        }
        var ranked = ChannelStatistics.Rank(stretches, CalibrationStatistic.Variance, null);
        var moments = ChannelStatistics.Rank([whole], CalibrationStatistic.Variance, null);
        var fitted = new LabelFit([sample]).Run(ranked, search: false);
        for (int layer = 0; layer < config.Layers; layer++)
        {
            for (int head = 0; head < config.KvHeads; head++)
            {
                HeadChannels found = made[layer, head], offline = ranked[layer, head], directions = fitted[layer, head];
                Assert.Equal(offline.Ranking, found.Ranking);
                Assert.Equal(offline.Scores!.Select(MathF.Sqrt), found.Scores);
                for (int c = 0; c < config.HeadDim; c++)
                {
                    Assert.Equal(moments[layer, head].Mean![c], found.Mean![c], 1e-5f);
                    Assert.Equal(moments[layer, head].Deviation![c], found.Deviation![c], 1e-4f);
                }
                Assert.Equal(directions.Held, found.Held);
                Assert.Equal(directions.Basis!.Keys, found.Basis!.Keys);
                Assert.Equal(directions.Basis.Queries, found.Basis.Queries);
                Assert.Equal(directions.Basis.Mean, found.Basis.Mean);
                Assert.Equal(directions.Basis.Deviation, found.Basis.Deviation);
            }
        }
    }

    [Fact]
    public void A_prior_counts_as_much_as_the_text()
    {
        string path = Path.ChangeExtension(TestFiles.Model, ".channels.json");
        int[] prompt = _case.Prose[..300];
        using var decoder = _case.Decoder($"label=mixed,label-bits=64,prior={path}");
        Run(decoder, prompt, [5]);
        var whole = new ChannelStatistics(_case.Weights.Config);
        using (var dense = new LlamaDecoder(_case.Backend, _case.Weights, Options("dense"))) new Calibrator(dense).Gather(whole, prompt);
        ChannelMap made = Text(decoder).Labels!.Map, prior = ChannelMap.Load(path), text = ChannelStatistics.Rank([whole], CalibrationStatistic.Variance, null);
        for (int layer = 0; layer < made.Layers; layer++)
            for (int head = 0; head < made.KvHeads; head++)
                for (int c = 0; c < made.HeadDim; c++) Assert.Equal(Math.Max(prior[layer, head].Scores![c], text[layer, head].Scores![c]), made[layer, head].Scores![c], 1e-5f);
    }

    /// <summary>Labels made from the K of the cache are those that the same map makes of keys as they come.</summary>
    [Theory]
    [InlineData("label=mixed,label-bits=64", 512)]
    [InlineData("label=rotated,label-bits=64", 512)]
    [InlineData("channels=48,bits=2", 100)]
    [InlineData("channels=32,bits=4,scaling=token,mean-value=on", 512)]
    public void Steps_are_those_of_a_decoder_that_had_the_map_from_the_start(string labels, int prefillChunk)
    {
        int[] prompt = _case.Prose[..700], next = _case.Prose[700..712];
        using var online = _case.Decoder($"{labels},tokens=1/16", KvFormat.F32, prefillChunk: prefillChunk);
        float[][] found = Run(online, prompt, next);
        Assert.Equal(1, online.Policy.CalibratedMaps);
        using var offline = new LlamaDecoder(_case.Backend, _case.Weights, Options($"double-sparsity:{labels},tokens=1/16", KvFormat.F32, 1, prefillChunk) with { Channels = Text(online).Labels!.Map });
        float[][] expected = Run(offline, prompt, next);
        for (int i = 0; i < next.Length; i++) Assert.Equal(expected[i], found[i]);
    }

    /// <summary>A drift that is always too large: the map is made anew at every look, and attention to every token stays full attention.</summary>
    [Fact]
    public void Made_anew_labels_leave_full_attention_when_every_token_is_selected()
    {
        int[] prompt = _case.Prose[..300], next = _case.Prose[300..400];
        using var sparse = _case.Decoder("label=mixed,label-bits=64,tokens=1/1,drift=0.0001", KvFormat.F32);
        using var dense = new LlamaDecoder(_case.Backend, _case.Weights, Options("dense", KvFormat.F32));
        float[][] expected = Run(dense, prompt, next), found = Run(sparse, prompt, next);
        Assert.Equal(1 + (next.Length - 1) / OnlineDoubleSparsityPolicy.CheckedTokens, sparse.Policy.CalibratedMaps);
        for (int i = 0; i < next.Length; i++) AssertClose(expected[i], found[i]);
    }

    /// <summary>Prose that goes on drifts less than prose that lines follow; a limit below what comes makes the map anew, one above never does, and the standard one tells the two apart.</summary>
    [Fact]
    public void Text_of_another_kind_makes_the_map_anew_and_more_of_the_same_does_not()
    {
        var retrieval = new RetrievalText(t => _case.Tokenizer.Encode(t, addBos: false), 3);
        int[] prompt = _case.Prose[..1500], more = _case.Prose[1500..2012], lines = retrieval.Lines(800, 1).Context[..512];
        var (mostOfMore, mostOfLines) = (Drift("off", more), Drift("off", lines));
        double ofMore = mostOfMore.Drift, ofLines = mostOfLines.Drift;
        Assert.True(0 < ofMore && 1.5 * ofMore < ofLines && ofLines < 1, $"more of the same drifts by {mostOfMore}, lines by {mostOfLines}");
        Assert.Equal(1, Drift("off", lines).Maps);
        Assert.Equal(1, Drift(FormattableString.Invariant($"{1.5 * ofLines:0.0000}"), lines).Maps);
        Assert.True(Drift(FormattableString.Invariant($"{ofLines / 2:0.0000}"), lines).Maps > 1);
        double standard = AttentionOptions.Parse("double-sparsity:map=online").Drift;
        Assert.True(ofMore < standard && standard < ofLines, $"{ofMore} and {ofLines} are not on both sides of {standard}");

        (int Maps, double Drift, (double, double) Parts) Drift(string limit, int[] next)
        {
            using var decoder = new LlamaDecoder(_case.Backend, _case.Weights, Options($"double-sparsity:map=online,label=mixed,drift={limit}", sequences: 32));
            using var sequence = decoder.NewSequence();
            decoder.Prefill(sequence, prompt);
            for (int start = 0; start < next.Length; start += 32) decoder.DecodeRun(sequence, next.AsSpan(start, 32));
            return (decoder.Policy.CalibratedMaps, Text(decoder).Calibration.Drift(), Text(decoder).Calibration.DriftParts());
        }
    }

    [Fact]
    public void Runs_of_known_tokens_are_what_steps_are()
    {
        int[] prompt = _case.Prose[..400], next = _case.Prose[400..496];
        using var steps = _case.Decoder("label=mixed,tokens=1/8,drift=0.0001", KvFormat.F32);
        float[][] expected = Run(steps, prompt, next);
        using var decoder = _case.Decoder("label=mixed,tokens=1/8,drift=0.0001", KvFormat.F32, sequences: 32);
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        for (int start = 0; start < next.Length; start += 32)
        {
            float[] logits = decoder.DecodeRun(sequence, next.AsSpan(start, 32)).ToArray();
            for (int i = 0; i < 32; i++) AssertClose(expected[start + i], logits.AsSpan(i * expected[0].Length, expected[0].Length).ToArray());
        }
        Assert.Equal(steps.Policy.CalibratedMaps, decoder.Policy.CalibratedMaps);
    }

    public void Dispose() => _case.Dispose();
}
