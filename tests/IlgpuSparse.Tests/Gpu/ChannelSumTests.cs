using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Statistics of channels that a device sums, against those of the host.</summary>
[Collection("accelerators")]
public sealed class ChannelSumTests(Accelerators accelerators)
{
    private const int PartRows = 64;

    private readonly int _seed = Random.Shared.Next();

    public static TheoryData<GpuKind> Kinds => [.. Enum.GetValues<GpuKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void SumsAreThoseOfTheHost(GpuKind kind)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        foreach (var (rows, heads, kvHeads, headDim) in ((int, int, int, int)[])[(1, 2, 1, 6), (PartRows, 1, 1, 8), (PartRows + 1, 3, 3, 4), (2 * PartRows + 44, 4, 2, 130)])
        {
            int before = random.Next(PartRows), count = ChannelStatistics.Parts(rows, PartRows, before);
            var config = SmallConfig.Of(heads, kvHeads, headDim, rows, layers: 2);
            float[] q = RandomWeights.Normals(random, rows * heads * headDim), k = RandomWeights.Normals(random, rows * kvHeads * headDim);
            // keys far from zero: their variance is a difference of large numbers
            for (int i = 0; i < k.Length; i++) k[i] += i % headDim / 8f;
            var (expected, found) = (new ChannelStatistics(config), new ChannelStatistics(config));
            expected.Add(0, rows, q, k);
            int floats = (int)ChannelStatistics.PartFloats(count, kvHeads, headDim);
            using var queries = backend.Allocate(q.Length * sizeof(float), "test");
            using var keys = backend.Allocate(k.Length * sizeof(float), "test");
            using var parts = backend.Allocate(floats * sizeof(float), "test");
            ((DeviceSpan)queries).Upload<float>(q);
            ((DeviceSpan)keys).Upload<float>(k);
            ((DeviceSpan)parts).Upload<float>(Enumerable.Repeat(float.NaN, floats).ToArray());
            Assert.True(backend.TrySumChannels(new AttentionShape(heads, kvHeads, headDim), rows, queries, keys, parts, PartRows, before));
            found.AddParts(0, rows, ((DeviceSpan)parts).ToArray<float>(floats));
            Assert.Equal(rows, found.Tokens);
            Assert.Equal(0, found.TokensOf(1));
            for (int channel = 0; channel < kvHeads * headDim; channel++)
            {
                var (mean, variance) = expected.Moments(0, channel);
                var moments = found.Moments(0, channel);
                Assert.True(Math.Abs(moments.Mean - mean) <= 1e-6 * (1 + Math.Abs(mean)), $"seed {_seed}: mean {moments.Mean}, not {mean}");
                Assert.True(Math.Abs(moments.Variance - variance) <= 1e-6 * (1 + mean * mean), $"seed {_seed}: variance {moments.Variance}, not {variance}");
            }
            foreach (var statistic in Enum.GetValues<CalibrationStatistic>())
            {
                // of one token it is what rounding leaves
                if (rows == 1 && statistic == CalibrationStatistic.Variance) continue;
                for (int head = 0; head < kvHeads; head++)
                {
                    var (wanted, got) = (new float[headDim], new float[headDim]);
                    expected.RaiseScores(0, head, statistic, wanted);
                    found.RaiseScores(0, head, statistic, got);
                    for (int c = 0; c < headDim; c++) Assert.True(Math.Abs(got[c] - wanted[c]) <= 2e-4f * (wanted[c] + 1e-2f), $"seed {_seed}: {statistic} {got[c]}, not {wanted[c]}");
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void MapsOfATextAreThoseOfTheHost(GpuKind kind)
    {
        const int Heads = 4, KvHeads = 2, HeadDim = 6;
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        var config = SmallConfig.Of(Heads, KvHeads, HeadDim, 1024);
        var (expected, found) = (new OnlineCalibration(config, null), new OnlineCalibration(config, null));
        using var passing = new PassingRows(backend, config, 200, OnlineCalibration.SegmentTokens);
        // passes that end in a stretch, at its end and behind several
        for (int start = 0, pass = 0; pass < 8; pass++)
        {
            int rows = pass == 3 ? OnlineCalibration.SegmentTokens - expected.Begun(0) : random.Next(1, 200);
            float[] q = RandomWeights.Normals(random, rows * Heads * HeadDim), k = RandomWeights.Normals(random, rows * KvHeads * HeadDim);
            for (int i = 0; i < k.Length; i++) k[i] *= 1 + i % HeadDim;
            using var queries = backend.Allocate(q.Length * sizeof(float), "test");
            using var keys = backend.Allocate(k.Length * sizeof(float), "test");
            ((DeviceSpan)queries).Upload<float>(q);
            ((DeviceSpan)keys).Upload<float>(k);
            expected.Begin(start, rows);
            expected.Add(0, rows, q, k, sampled: true);
            found.Begin(start, rows);
            var sums = passing.Sums(rows, queries, keys, found.Begun(0));
            passing.BringQueries(found.Queries.Rows, queries);
            found.AddParts(0, rows, sums, passing.Queries, sampled: true);
            Assert.Equal((expected.Tokens, expected.Begun(0)), (found.Tokens, found.Begun(0)));
            start += rows;
        }
        var (wanted, got) = (expected.Map((_, _) => [], 1, directions: false), found.Map((_, _) => [], 1, directions: false));
        for (int head = 0; head < KvHeads; head++)
        {
            Assert.Equal(wanted[0, head].Ranking, got[0, head].Ranking);
            Assert.Equal(expected.Queries.Head(0, head), found.Queries.Head(0, head));
            for (int c = 0; c < HeadDim; c++)
            {
                Assert.Equal(wanted[0, head].Scores![c], got[0, head].Scores![c], 1e-5f);
                Assert.Equal(wanted[0, head].Mean![c], got[0, head].Mean![c], 1e-5f);
                Assert.Equal(wanted[0, head].Deviation![c], got[0, head].Deviation![c], 1e-5f);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void CalibrationOfAModelIsThatOfTheHost(GpuKind kind)
    {
        using var model = ModelFile.Open(TestFiles.Data("checkpoints", "llama3-rope"));
        using var device = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        using var host = new CpuBackend(2);
        var (expected, sample) = Run(host);
        var (found, kept) = Run(device);
        for (int layer = 0; layer < model.Config.Layers; layer++)
        {
            for (int head = 0; head < model.Config.KvHeads; head++)
            {
                for (int c = 0; c < model.Config.HeadDim; c++)
                {
                    Assert.Equal(expected[layer, head].Scores![c], found[layer, head].Scores![c], 1e-4);
                    Assert.Equal(expected[layer, head].Mean![c], found[layer, head].Mean![c], 1e-3);
                }
                HeadWindow wanted = Assert.Single(sample.Head(layer, head)), got = Assert.Single(kept.Head(layer, head));
                Assert.Equal(wanted.Visible, got.Visible);
                for (int i = 0; i < wanted.Keys.Length; i++) Assert.Equal(wanted.Keys[i], got.Keys[i], 4e-3);
                for (int i = 0; i < wanted.Queries.Length; i++) Assert.Equal(wanted.Queries[i], got.Queries[i], 4e-3);
            }
        }

        (ChannelMap Map, CalibrationSample Sample) Run(ComputeBackend backend)
        {
            using var weights = LlamaWeights.Load(backend, model);
            using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = 64, KvFormat = KvFormat.F32, PrefillChunk = 7 });
            var sums = new ChannelStatistics(model.Config);
            // every second key, in runs and alone, and queries of the first, the last and some between
            var sample = new CalibrationSample(model.Config, "text", 9);
            new Calibrator(decoder).Gather(sums, [.. Enumerable.Range(3, 18)], sample, [0, 5, 6, 7, 17], TestContext.Current.CancellationToken);
            return (ChannelStatistics.Rank([sums], CalibrationStatistic.Variance, null), sample);
        }
    }
}
