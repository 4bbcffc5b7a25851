using IlgpuSparse.Compute;
using IlgpuSparse.Tests.Compute;

namespace IlgpuSparse.Tests.Attention;

/// <summary>What rotated and mixed labels add to a backend: projections of heads, and bit planes; against double precision.</summary>
public abstract class RotatedLabelTests
{
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    protected RotatedLabelTests() => _random = new Random(_seed);

    protected abstract ComputeBackend Backend { get; }

    /// <summary>Most rows of the random cases.</summary>
    protected virtual int MostRows => 70;

    /// <summary>The operation under test.</summary>
    protected virtual void Project(HeadProjection projection, int heads, DeviceSpan x, int rows, DeviceSpan y) => Backend.ProjectHeads(projection, heads, x, rows, y);

    [Theory]
    [InlineData(2, 2, 128, 64)]
    [InlineData(4, 2, 64, 16)]
    [InlineData(7, 1, 80, 48)]
    [InlineData(6, 3, 96, 96)]
    [InlineData(1, 1, 256, 32)]
    [InlineData(2, 1, 20, 112)]
    public void Projections_are_matrix_products(int heads, int kvHeads, int inputs, int outputs)
    {
        foreach (int rows in (int[])[1, 8, 9, _random.Next(2, MostRows)])
        {
            // fewer rows than outputs: the rest is zero
            int given = outputs - _random.Next(3);
            float[][][] matrix = [.. Enumerable.Range(0, kvHeads).Select(_ => Enumerable.Range(0, given).Select(_ => RandomWeights.Normals(_random, inputs)).ToArray())];
            float[] x = RandomWeights.Normals(_random, rows * heads * inputs);
            using var projection = HeadProjection.Create(Backend, matrix, inputs, outputs);
            using var source = Upload(x);
            using var target = Upload(Enumerable.Repeat(float.NaN, rows * heads * outputs).ToArray());
            Project(projection, heads, source, rows, target);
            float[] y = ((DeviceSpan)target).ToArray<float>(rows * heads * outputs);
            for (int i = 0; i < rows * heads; i++)
            {
                for (int o = 0; o < outputs; o++)
                {
                    double sum = 0, size = 0;
                    for (int c = 0; c < inputs && o < given; c++)
                    {
                        double product = (double)x[i * inputs + c] * matrix[i % heads / (heads / kvHeads)][o][c];
                        sum += product;
                        size += Math.Abs(product);
                    }
                    Assert.True(Math.Abs(y[i * outputs + o] - sum) <= 1e-6 * size, $"seed {_seed}, {rows} rows, head {i % heads}, output {o}: {y[i * outputs + o]}, not {sum}");
                }
            }
        }
    }

    [Theory]
    [InlineData(3)]
    [InlineData(33)]
    [InlineData(64)]
    [InlineData(128)]
    public void Bit_planes_hold_and_score_whole_codes(int places)
    {
        var shape = new AttentionShape(4, 2, 64);
        int tokens = _random.Next(1, MostRows);
        var (bits, channels) = Deal(places, shape);
        float[] offsets = new float[2 * places], steps = new float[2 * places], quantisers = new float[2 * places];
        int[] indices = new int[2 * places], planes = new int[2 * places];
        for (int head = 0; head < 2; head++)
        {
            for (int n = 0, at = head * places; n < bits[head].Length; n++)
            {
                float offset = (float)LabelCase.Normal(_random), step = 0.1f + _random.NextSingle();
                for (int p = 0; p < bits[head][n]; p++, at++)
                    (indices[at], offsets[at], quantisers[at], steps[at], planes[at]) = (channels[head][n], offset, step, step * (1 << p), bits[head][n] | p << 8);
            }
        }
        using var labels = new LabelLayer
        {
            Format = LabelFormat.Int1,
            Scaling = LabelScaling.Static,
            Channels = places,
            ChannelIndices = Upload(indices),
            Offsets = Upload(offsets),
            Steps = Upload(steps),
            Planes = Upload(planes),
            QuantiserSteps = Upload(quantisers),
            Codes = Upload(new uint[2 * KvLayer.BlockTokens * LabelLayer.WordsFor(LabelFormat.Int1, places)]),
        };
        float[] keys = [.. RandomWeights.Normals(_random, tokens * 2 * 64).Select(x => 2 * x)], queries = RandomWeights.Normals(_random, 4 * 64);
        using var k = Upload(keys);
        using var q = Upload(queries);
        using var chunk = new StepBatch(Backend, tokens, 1, 1);
        chunk.SetPrefill(0, tokens, [0]);
        Backend.AppendLabels(shape, labels, chunk, k);
        uint[] codes = ((DeviceSpan)labels.Codes).ToArray<uint>((int)(labels.Codes.ByteLength / 4));
        using var step1 = new StepBatch(Backend, 1, 1, 1);
        step1.SetDecode([tokens - 1], [[0]]);
        using var scores = new TokenScores(Backend.Allocate(4 * 256 * sizeof(float), "test"), 4, 256);
        Backend.Score(shape, labels, step1, q, GroupReduction.Max, scores);
        float[] found = ((DeviceSpan)scores.Buffer).ToArray<float>(4 * 256);
        for (int token = 0; token < tokens; token++)
        {
            for (int head = 0; head < 2; head++)
            {
                var exact = new double[2];
                double size = 0;
                for (int n = 0, at = head * places; n < bits[head].Length; at += bits[head][n], n++)
                {
                    int code = 0, largest = (1 << bits[head][n]) - 1;
                    for (int p = 0; p < bits[head][n]; p++) code |= Bit(codes, labels.Words, head, token, at - head * places + p) << p;
                    double level = ((double)keys[(token * 2 + head) * 64 + channels[head][n]] - offsets[at]) / quantisers[at] + largest / 2.0;
                    Assert.True(Math.Abs(Math.Clamp(level, 0, largest) - code) <= 0.5001, $"seed {_seed}, token {token}, head {head}, channel {channels[head][n]}: code {code} of {bits[head][n]} bits for level {level}");
                    for (int g = 0; g < 2; g++)
                    {
                        double product = queries[(head * 2 + g) * 64 + channels[head][n]] * (double)quantisers[at] * (code - largest / 2.0) / 8;
                        exact[g] += product;
                        size += Math.Abs(queries[(head * 2 + g) * 64 + channels[head][n]]) * quantisers[at] * largest / 16;
                    }
                }
                for (int g = 0; g < 2; g++)
                    Assert.True(Math.Abs(found[(head * 2 + g) * 256 + token] - exact[g]) <= 2e-6 * size, $"seed {_seed}, token {token}, head {head * 2 + g}: {found[(head * 2 + g) * 256 + token]}, not {exact[g]}");
            }
        }
    }

    // Bits by channel for each kv head, `places` together, and which channels.
    private (int[][] Bits, int[][] Channels) Deal(int places, AttentionShape shape)
    {
        var bits = new int[shape.KvHeads][];
        var channels = new int[shape.KvHeads][];
        for (int head = 0; head < shape.KvHeads; head++)
        {
            var dealt = new List<int>();
            for (int left = places; left > 0; left -= dealt[^1]) dealt.Add(Math.Min(left, _random.Next(2, 7)));
            bits[head] = [.. dealt];
            channels[head] = [.. Enumerable.Range(0, shape.HeadDim).OrderBy(_ => _random.Next()).Take(dealt.Count)];
        }
        return (bits, channels);
    }

    private static int Bit(uint[] codes, int words, int head, int token, int place) =>
        (int)(codes[head * KvLayer.BlockTokens * words + token / 16 * 16 * words + place / 32 * 16 + token % 16] >> (place % 32)) & 1;

    private DeviceBuffer Upload<T>(T[] values) where T : unmanaged
    {
        var buffer = Backend.Allocate((long)values.Length * sizeof(int), "test");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }
}
