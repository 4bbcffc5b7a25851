using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Keys and queries of one kv head without a model, with what real checkpoints have and a small test model may lack: a few outlier channels, offsets of all keys, rotary positions, content along directions that are no channels, a drift along
/// the context, and for every query a few planted keys that hold a large part of its attention.
/// </summary>
internal sealed class PlantedAttention
{
    /// <summary>Channels a head, and query heads of the kv head.</summary>
    public const int HeadDim = 128, Group = 4;

    /// <summary>Keys planted for a query.</summary>
    public const int PlantedKeys = 4;

    private const int ContentDirections = 24, OutlierPairs = 3;
    private const double RopeBase = 500_000;

    private readonly float[][] _content = new float[ContentDirections][];
    private readonly float[] _contentSize = new float[ContentDirections];
    private readonly float[] _offset = new float[HeadDim], _outlier = new float[HeadDim];

    /// <summary>Draws what keys of every text have in common.</summary>
    public PlantedAttention(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < ContentDirections; i++)
        {
            _content[i] = [.. Enumerable.Range(0, HeadDim).Select(_ => (float)(Normal(random) / Math.Sqrt(HeadDim)))];
            _contentSize[i] = (float)(6 * Math.Exp(-i / 8.0));
        }
        for (int c = 0; c < HeadDim; c++) _offset[c] = (float)(0.5 * Normal(random));
        // outliers come in rotary pairs that turn slowly, large in all keys: far from zero, and varying more than other channels
        for (int n = 0; n < OutlierPairs; n++)
        {
            int pair = HeadDim / 2 - 1 - random.Next(HeadDim / 8);
            _outlier[2 * pair] = _outlier[2 * pair + 1] = 12 + 8 * random.NextSingle();
        }
    }

    /// <summary>What a model of these heads would have.</summary>
    public static LlamaConfig Config(int context) => new()
    {
        ModelType = "planted",
        VocabularySize = 1,
        HiddenSize = Group * HeadDim,
        IntermediateSize = 1,
        Layers = 1,
        Heads = Group,
        KvHeads = 1,
        HeadDim = HeadDim,
        MaxContext = context,
        NormEpsilon = 1e-5f,
        RopeStyle = RopeStyle.Interleaved,
    };

    /// <summary>
    /// Fills <paramref name="sample"/> (and <paramref name="statistics"/>) with a text of <paramref name="length"/> tokens from <paramref name="seed"/>, <paramref name="queries"/> queries in its last quarter; returns the planted positions
    /// of each. A planted key is an ordinary one with as much of its query added as makes it heavier than all others together would be alone.
    /// </summary>
    public int[][] Fill(CalibrationSample sample, ChannelStatistics? statistics, int length, int queries, int seed)
    {
        const int Chunk = 4096;
        var random = new Random(seed);
        int step = Math.Max(1, length / 4 / queries);
        int[] positions = [.. Enumerable.Range(1, queries).Select(i => length - 1 - (queries - i) * step)];
        var asked = new Dictionary<int, float[]>();
        var planted = new int[queries][];
        var plants = new Dictionary<int, float[]>();
        for (int i = 0; i < queries; i++)
        {
            float[] heads = Query(Content(random), positions[i], random);
            asked[positions[i]] = heads;
            var direction = new float[HeadDim];
            for (int c = 0; c < heads.Length; c++) direction[c % HeadDim] += heads[c] / Group;
            float square = direction.Sum(x => x * x), gain = (float)(Math.Log(length) + 2) * MathF.Sqrt(HeadDim) / square;
            planted[i] = [.. Enumerable.Range(0, PlantedKeys).Select(_ => random.Next(positions[i]))];
            foreach (int p in planted[i]) plants[p] = [.. direction.Select(x => x * gain)];
        }
        sample.Begin(length, positions);
        float[] keys = new float[Chunk * HeadDim], q = new float[Chunk * Group * HeadDim], drift = Content(random);
        for (int start = 0; start < length; start += Chunk)
        {
            int rows = Math.Min(Chunk, length - start);
            for (int row = 0; row < rows; row++)
            {
                int position = start + row;
                var key = keys.AsSpan(row * HeadDim, HeadDim);
                float[] content = Content(random);
                for (int n = 0; n < content.Length; n++) content[n] += 0.5f * position / length * drift[n];
                Embed(content, key, random);
                for (int c = 0; c < HeadDim; c++) key[c] += _offset[c] + (_outlier[c] > 0 ? _outlier[c] * (1 + 0.15f * (float)Normal(random)) : 0);
                Rotate(key, position);
                if (plants.TryGetValue(position, out float[]? added))
                    for (int c = 0; c < HeadDim; c++) key[c] += added[c];
                if (asked.TryGetValue(position, out float[]? heads)) heads.CopyTo(q.AsSpan(row * Group * HeadDim));
                else if (statistics is not null) Query(content, position, random).CopyTo(q.AsSpan(row * Group * HeadDim));
            }
            sample.Add(0, start, rows, q.AsSpan(0, rows * Group * HeadDim), keys.AsSpan(0, rows * HeadDim));
            statistics?.Add(0, rows, q.AsSpan(0, rows * Group * HeadDim), keys.AsSpan(0, rows * HeadDim));
        }
        return planted;
    }

    // The heads of a group ask for nearly the same.
    private float[] Query(float[] content, int position, Random random)
    {
        var heads = new float[Group * HeadDim];
        for (int g = 0; g < Group; g++)
        {
            var head = heads.AsSpan(g * HeadDim, HeadDim);
            Embed([.. content.Select(x => x + 0.3f * (float)Normal(random))], head, random);
            for (int c = 0; c < HeadDim; c++) head[c] += _outlier[c] > 0 ? 0.3f * (float)Normal(random) : 0;
            Rotate(head, position);
        }
        return heads;
    }

    private static float[] Content(Random random) => [.. Enumerable.Range(0, ContentDirections).Select(_ => (float)Normal(random))];

    // Content along its directions, and noise everywhere.
    private void Embed(float[] content, Span<float> x, Random random)
    {
        for (int c = 0; c < HeadDim; c++) x[c] = 0.3f * (float)Normal(random);
        for (int n = 0; n < content.Length; n++)
            for (int c = 0; c < HeadDim; c++) x[c] += _contentSize[n] * content[n] * _content[n][c];
    }

    private static void Rotate(Span<float> x, int position)
    {
        for (int pair = 0; pair < HeadDim / 2; pair++)
        {
            var (sin, cos) = Math.SinCos(position * Math.Pow(RopeBase, -2.0 * pair / HeadDim));
            float a = x[2 * pair], b = x[2 * pair + 1];
            x[2 * pair] = (float)(a * cos - b * sin);
            x[2 * pair + 1] = (float)(b * cos + a * sin);
        }
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
