using IlgpuSparse.Calibration;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>A form of label by name: how it remembers keys, and how queries score them.</summary>
/// <param name="Name">For tables.</param>
/// <param name="Bits">Bits a token, all counted.</param>
/// <param name="Prepare">From keys <c>[key, headDim]</c> to a scorer: (query, key index) to score.</param>
internal sealed record PlantedLabel(string Name, int Bits, Func<HeadWindow, Func<float[], float[]>> Prepare)
{
    /// <summary>Every form, with what <paramref name="map"/>, its directions in closed form in <paramref name="untrained"/>, and the ranking by the paper's statistic, <paramref name="published"/>, know.</summary>
    public static IReadOnlyList<PlantedLabel> All(HeadChannels map, HeadChannels untrained, HeadChannels published, int seed)
    {
        int[] drawn = [.. Enumerable.Range(0, PlantedAttention.HeadDim)];
        new Random(seed).Shuffle(drawn);
        return
        [
            new("true scores", 16 * PlantedAttention.HeadDim, window => Exact([.. Enumerable.Range(0, PlantedAttention.HeadDim)], window)),
            new("random 8 x fp16", 128, window => Exact(drawn[..8], window)),
            new("published qk, 8 x fp16", 128, window => Exact([.. published.Ranking.Take(8)], window)),
            new("published qk, 32 x int4 a token", 160, window => PerToken([.. published.Ranking.Take(32)], 4, window)),
            new("variance, 32 x int4 a token", 160, window => PerToken([.. map.Ranking.Take(32)], 4, window)),
            .. new[] { 128, 64, 32 }.SelectMany(bits => (PlantedLabel[])
            [
                new($"variance, {bits / 2} x 2 bits", bits, window => Static(map.Codes(LabelKind.Channels), Uniform(map, bits / 2), window)),
                new($"mixed {bits}", bits, window => Static(map.Codes(LabelKind.Mixed), map.Allocate(LabelKind.Mixed, bits), window)),
                new($"closed-form directions {bits}", bits, window => Static(untrained.Codes(LabelKind.Rotated), untrained.Allocate(LabelKind.Rotated, bits), window)),
                new($"rotated {bits}", bits, window => Static(map.Codes(LabelKind.Rotated), map.Allocate(LabelKind.Rotated, bits), window)),
            ]),
        ];
    }

    private static int[] Uniform(HeadChannels channels, int count)
    {
        var bits = new int[channels.Ranking.Count];
        foreach (int c in channels.Ranking.Take(count)) bits[c] = 2;
        return bits;
    }

    // As the labels of the decoder, whose quantiser this is.
    private static Func<float[], float[]> Static(DirectionCodes codes, int[] allocation, HeadWindow window)
    {
        int[] used = [.. Enumerable.Range(0, codes.Count).Where(n => allocation[n] > 0)];
        float[][] columns = [.. used.Select(n => codes.Quantise(codes.Column(window, n), n, allocation[n]))];
        return query => Sum(columns, [.. used.Select(n => codes.Query(query, n))]);
    }

    private static Func<float[], float[]> Exact(int[] channels, HeadWindow window)
    {
        int d = PlantedAttention.HeadDim;
        float[][] columns = [.. channels.Select(c => Enumerable.Range(0, window.Count).Select(t => (float)(Half)window.Keys[t * d + c]).ToArray())];
        return query => Sum(columns, [.. channels.Select(c => query[c])]);
    }

    // The paper's quantiser: minimum and step of each token's own channels.
    private static Func<float[], float[]> PerToken(int[] channels, int bits, HeadWindow window)
    {
        int d = PlantedAttention.HeadDim, top = (1 << bits) - 1;
        float[][] columns = [.. channels.Select(_ => new float[window.Count])];
        for (int t = 0; t < window.Count; t++)
        {
            float least = channels.Min(c => window.Keys[t * d + c]), step = Math.Max((channels.Max(c => window.Keys[t * d + c]) - least) / top, 1e-9f);
            for (int n = 0; n < channels.Length; n++) columns[n][t] = least + step * MathF.Round((window.Keys[t * d + channels[n]] - least) / step);
        }
        return query => Sum(columns, [.. channels.Select(c => query[c])]);
    }

    private static float[] Sum(float[][] columns, float[] weights)
    {
        var scores = new float[columns[0].Length];
        for (int n = 0; n < columns.Length; n++) VectorMath.AddScaled(weights[n], columns[n], scores);
        return scores;
    }
}
