using IlgpuSparse.Compute;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Scores of a backend against the label product in double precision, over the labels that the backend wrote itself.</summary>
public abstract class LabelScoreTests
{
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    protected LabelScoreTests() => _random = new Random(_seed);

    public static TheoryData<LabelFormat, LabelScaling> Forms => [.. from f in Enum.GetValues<LabelFormat>() from s in Enum.GetValues<LabelScaling>() select (f, s)];

    public static TheoryData<LabelFormat, int> FormatsAndHeadSizes => [.. from f in Enum.GetValues<LabelFormat>() from d in new[] { 64, 80, 96, 128, 256 } select (f, d)];

    protected abstract ComputeBackend Backend { get; }

    /// <summary>Longest sequence of the random cases.</summary>
    protected virtual int Longest => 900;

    /// <summary>Largest error, relative to the sum of the magnitudes of the products.</summary>
    protected virtual double Tolerance => 1e-6;

    /// <summary>The operation under test.</summary>
    protected virtual void Score(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores) =>
        Backend.Score(shape, labels, batch, q, reduction, scores);

    [Theory]
    [MemberData(nameof(Forms))]
    public void EveryGroupingAndChannelCount(LabelFormat format, LabelScaling scaling)
    {
        foreach (var (heads, kvHeads) in ((int, int)[])[(3, 3), (4, 2), (7, 1), (10, 2)])
            foreach (int channels in (int[])[1, 7, 16, 64, 100])
                Check(new AttentionShape(heads, kvHeads, 128), format, scaling, channels, _random.Next(1, 300));
    }

    [Theory]
    [MemberData(nameof(FormatsAndHeadSizes))]
    public void EveryHeadSize(LabelFormat format, int headDim)
    {
        foreach (var scaling in Enum.GetValues<LabelScaling>())
            Check(new AttentionShape(8, 2, headDim), format, scaling, _random.Next(1, headDim + 1), _random.Next(1, Longest));
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void RowsOfDifferentLengths(LabelFormat format, LabelScaling scaling) =>
        Check(new AttentionShape(4, 2, 64), format, scaling, 32, _random.Next(1, Longest), 1, 16, 17, 256, 257, _random.Next(1, Longest));

    [Theory]
    [MemberData(nameof(Forms))]
    public void SlidingWindow(LabelFormat format, LabelScaling scaling)
    {
        foreach (int window in (int[])[1, 16, 100, 300])
            Check(new AttentionShape(4, 2, 64, window), format, scaling, 24, _random.Next(1, Longest), _random.Next(1, Longest));
    }

    private void Check(AttentionShape shape, LabelFormat format, LabelScaling scaling, int channels, params int[] lengths)
    {
        using var labels = new LabelCase(Backend, _random, shape, format, scaling, channels, lengths);
        labels.Fill(_random, (batch, k) => Backend.AppendLabels(shape, labels.Layer, batch, k));
        using var batch = labels.LastTokens();
        int queryWidth = shape.Heads * shape.HeadDim;
        var queries = new float[lengths.Length * queryWidth];
        for (int i = 0; i < queries.Length; i++) queries[i] = (float)LabelCase.Normal(_random);
        using var q = Backend.Allocate((long)queries.Length * sizeof(float), "test");
        ((DeviceSpan)q).Upload<float>(queries);

        uint[] codes = labels.DownloadCodes(), scales = labels.DownloadScales();
        var exact = Exact(labels, codes, scales, queries);
        int capacity = (lengths.Max() + 15) / 16 * 16 + 16 * _random.Next(3);
        foreach (int sets in new[] { shape.KvHeads, shape.Heads }.Distinct())
        {
            foreach (var reduction in Enum.GetValues<GroupReduction>())
            {
                using var scores = new TokenScores(Backend.Allocate((long)lengths.Length * sets * capacity * sizeof(float), "test"), sets, capacity);
                ((DeviceSpan)scores.Buffer).Upload<float>(Enumerable.Repeat(float.NaN, lengths.Length * sets * capacity).ToArray());
                Score(shape, labels.Layer, batch, q, reduction, scores);
                float[] found = ((DeviceSpan)scores.Buffer).ToArray<float>(lengths.Length * sets * capacity);
                Compare(labels, exact, found, sets, reduction, capacity);
            }
        }
    }

    // [row][head][token]: score and the magnitude that its error is relative to
    private static (double Score, double Magnitude)[][][] Exact(LabelCase labels, uint[] codes, uint[] scales, float[] queries)
    {
        var shape = labels.Shape;
        var result = new (double, double)[labels.Lengths.Length][][];
        for (int row = 0; row < result.Length; row++)
        {
            result[row] = [.. Enumerable.Range(0, shape.Heads).Select(_ => new (double, double)[labels.Lengths[row]])];
            for (int kvHead = 0; kvHead < shape.KvHeads; kvHead++)
            {
                for (int token = 0; token < labels.Lengths[row]; token++)
                {
                    var (values, magnitudes) = labels.Label(codes, scales, row, token, kvHead);
                    for (int g = 0; g < shape.GroupSize; g++)
                    {
                        int head = kvHead * shape.GroupSize + g;
                        double[] query = [.. labels.Channels[kvHead].Select(c => (double)queries[(row * shape.Heads + head) * shape.HeadDim + c])];
                        result[row][head][token] = ReferenceLabels.Score(query, values, magnitudes, 1 / Math.Sqrt(shape.HeadDim));
                    }
                }
            }
        }
        return result;
    }

    private void Compare(LabelCase labels, (double Score, double Magnitude)[][][] exact, float[] found, int sets, GroupReduction reduction, int capacity)
    {
        var shape = labels.Shape;
        int headsPerSet = shape.Heads / sets;
        for (int row = 0; row < labels.Lengths.Length; row++)
        {
            int position = labels.Lengths[row] - 1;
            for (int set = 0; set < sets; set++)
            {
                for (int token = shape.FirstVisible(position); token <= position; token++)
                {
                    var heads = Enumerable.Range(set * headsPerSet, headsPerSet).Select(h => exact[row][h][token]);
                    double expected = reduction == GroupReduction.Sum ? heads.Sum(h => h.Score) : heads.Max(h => h.Score), magnitude = heads.Sum(h => h.Magnitude);
                    float score = found[((long)row * sets + set) * capacity + token];
                    Assert.True(Math.Abs(score - expected) <= Tolerance * magnitude + 1e-30,
                        $"{labels.Description}, {sets} sets by {reduction}: row {row} set {set} token {token} has {score}, not {expected} (seed {_seed})");
                }
            }
        }
    }
}
