using System.Collections.Concurrent;
using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>
/// From kept keys and queries to labels: the directions of every (layer, kv head), what tokens bring it, and for each number of bits the allocation that loses least attention mass on them. Heads are fitted independently, as many at a time as there are threads.
/// </summary>
public sealed class LabelFit
{
    /// <summary>Numbers of bits that a search is made for.</summary>
    public static readonly IReadOnlyList<int> SearchedBits = [32, 64, 128];

    /// <summary>Budgets that a search and a judgement average over, as shares of the keys.</summary>
    internal static readonly IReadOnlyList<double> Shares = [1 / 16.0, 1 / 32.0, 1 / 64.0];

    // Bits that a search moves at most, and queries of a window that it looks at.
    private const int Moves = 12;
    private const int SearchQueries = 12;

    // The label whose sets tell what more tokens bring a head; with others the order is much the same.
    private const int HeldBits = 64;

    private readonly LlamaConfig _config;
    private readonly IReadOnlyList<Func<int, int, IReadOnlyList<HeadWindow>>> _texts;
    private readonly IReadOnlyList<double> _shares;

    /// <summary>Fits to <paramref name="texts"/>, one sample a kind of text.</summary>
    /// <param name="texts">At least one.</param>
    /// <param name="shares">How much each kind counts, together 1; null for all the same.</param>
    /// <exception cref="ArgumentException">There are none, or as many shares as texts are not there.</exception>
    public LabelFit(IReadOnlyList<CalibrationSample> texts, IReadOnlyList<double>? shares = null)
    {
        ArgumentNullException.ThrowIfNull(texts);
        if (texts.Count == 0) throw new ArgumentException("labels are fitted to at least one kind of text", nameof(texts));
        if (shares is not null && shares.Count != texts.Count) throw new ArgumentException($"{shares.Count} shares for {texts.Count} texts", nameof(shares));
        _config = texts[0].Config;
        _texts = [.. texts.Select(t => (Func<int, int, IReadOnlyList<HeadWindow>>)t.Head)];
        _shares = shares ?? [.. texts.Select(_ => 1.0 / texts.Count)];
    }

    /// <summary>Fits to windows that are made as they are needed: <paramref name="texts"/> are asked for those of a (layer, kv head), by several threads.</summary>
    internal LabelFit(LlamaConfig config, IReadOnlyList<Func<int, int, IReadOnlyList<HeadWindow>>> texts, IReadOnlyList<double> shares) => (_config, _texts, _shares) = (config, texts, shares);

    /// <summary><paramref name="map"/> with directions and held mass, and with plans where <paramref name="search"/>.</summary>
    /// <param name="map">Ranking, means and deviations of the channels.</param>
    /// <param name="search">Whether to search for the best allocations; they are water-filled otherwise.</param>
    /// <param name="threads">Heads at a time; 0 for one a core.</param>
    /// <param name="progress">Told the share that is done.</param>
    /// <param name="steps">Steps of gradient descent by which the directions of each head move from the closed form to where labels of <see cref="SearchedBits"/> tell most of the attention; 0 for none.</param>
    /// <param name="cancellation">Looked at between heads and steps.</param>
    public ChannelMap Run(ChannelMap map, bool search, int threads = 0, Action<double>? progress = null, int steps = 0, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(map);
        ArgumentOutOfRangeException.ThrowIfNegative(steps);
        var config = _config;
        var heads = new HeadChannels[config.Layers][];
        for (int layer = 0; layer < heads.Length; layer++) heads[layer] = new HeadChannels[config.KvHeads];
        int done = 0, total = config.Layers * config.KvHeads;
        ForEachHead(threads, (layer, head) =>
        {
            IReadOnlyList<HeadWindow>[] texts = [.. _texts.Select(t => t(layer, head))];
            var basis = BasisFit.Fit(texts, _shares, config.HeadDim);
            if (steps > 0) basis = new BasisTraining(texts, _shares, config.HeadDim).Run(basis, SearchedBits, steps, cancellation);
            var channels = map[layer, head] with { Basis = basis, Plans = null };
            var judge = new LabelJudge(texts, config.HeadDim, Shares, SearchQueries);
            if (search) channels = channels with { Plans = Plan(channels, judge) };
            double[][] held = judge.Held(channels.Codes(LabelKind.Rotated), channels.Allocate(LabelKind.Rotated, Math.Min(HeldBits, BitAllocation.MostBits * channels.Basis!.Count)), TokenSplit.Shares);
            heads[layer][head] = channels with { Held = [.. TokenSplit.Shares.Select((_, i) => (float)held.Zip(_shares, (text, share) => text[i] * share).Sum())] };
            progress?.Invoke((double)Interlocked.Increment(ref done) / total);
        }, cancellation);
        return map.With(heads);
    }

    /// <summary>
    /// Attention mass that a label's sets hold, over what the true scores' sets hold, averaged over layers, heads and budgets of 1/16, 1/32 and 1/64: by kind of text, in the order of the samples. 1 is what the oracle holds.
    /// </summary>
    /// <param name="map">The map.</param>
    /// <param name="kind">What the label is of.</param>
    /// <param name="bits">Its bits; of channels with two bits each where that is the kind.</param>
    /// <param name="threads">Heads at a time; 0 for one a core.</param>
    /// <param name="cancellation">Looked at between heads.</param>
    public IReadOnlyList<double> Kept(ChannelMap map, LabelKind kind, int bits, int threads = 0, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(map);
        var config = _config;
        var results = new ConcurrentBag<double[]>();
        ForEachHead(threads, (layer, head) =>
        {
            var judge = new LabelJudge([.. _texts.Select(t => t(layer, head))], config.HeadDim, Shares, SearchQueries);
            var channels = map[layer, head];
            int[] allocation = kind == LabelKind.Channels ? Uniform(channels, bits / 2) : channels.Allocate(kind, bits);
            double[][] best = judge.Best(), held = judge.Held(channels.Codes(kind), allocation);
            results.Add([.. best.Select((b, text) => held[text].Sum() / Math.Max(b.Sum(), 1e-9))]);
        }, cancellation);
        return [.. _texts.Select((_, text) => results.Average(r => r[text]))];
    }

    private static LabelPlan[] Plan(HeadChannels channels, LabelJudge judge)
    {
        var codes = channels.Codes(LabelKind.Rotated);
        return [.. SearchedBits.Where(b => b <= BitAllocation.MostBits * codes.Count).Select(b => new LabelPlan(LabelKind.Rotated, b, judge.Search(codes, BitAllocation.Fill(codes.Weight, b), Moves)))];
    }

    private static int[] Uniform(HeadChannels channels, int count)
    {
        var bits = new int[channels.Ranking.Count];
        foreach (int c in channels.Ranking.Take(count)) bits[c] = 2;
        return bits;
    }

    private void ForEachHead(int threads, Action<int, int> work, CancellationToken cancellation)
    {
        int kvHeads = _config.KvHeads;
        try
        {
            Parallel.For(0, _config.Layers * kvHeads, new ParallelOptions { MaxDegreeOfParallelism = threads > 0 ? threads : Environment.ProcessorCount, CancellationToken = cancellation }, i => work(i / kvHeads, i % kvHeads));
        }
        catch (AggregateException e) when (e.InnerExceptions.Count > 0)
        {
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }
}
