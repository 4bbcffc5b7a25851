using IlgpuSparse.Compute;

namespace IlgpuSparse.Calibration;

/// <summary>
/// One budget of tokens dealt out to layers and kv heads: each part goes to the head whose sets win most attention mass by it, as calibration saw them (<see cref="HeadChannels.Held"/>), so that in the end a token more would bring
/// every head about as much.
/// </summary>
public static class TokenSplit
{
    /// <summary>Shares of the tokens at which <see cref="HeadChannels.Held"/> is known, falling.</summary>
    public static readonly IReadOnlyList<double> Shares =
        [1 / 4.0, 1 / 8.0, 1 / 12.0, 1 / 16.0, 1 / 24.0, 1 / 32.0, 1 / 48.0, 1 / 64.0, 1 / 96.0, 1 / 128.0, 1 / 192.0, 1 / 256.0, 1 / 384.0, 1 / 512.0, 1 / 1024.0, 1 / 2048.0];

    /// <summary>Least and most of a head, in units of 1/<see cref="SelectionRule.FactorUnits"/> of the mean.</summary>
    public const int Least = SelectionRule.FactorUnits / 4, Most = SelectionRule.FactorUnits * 4;

    // What is dealt out at a time.
    private const int Part = SelectionRule.FactorUnits / 32;

    // A head's gain is looked at over this much of what it has, so that a flat place in its curve does not end it.
    private const double Ahead = 0.25;

    /// <summary>Budgets <c>[layer - first][kvHead]</c> in units of 1/<see cref="SelectionRule.FactorUnits"/> of their mean.</summary>
    /// <param name="map">Held mass of every head.</param>
    /// <param name="share">Share of the tokens that is read on average, from above 0 to 1.</param>
    /// <param name="first">First layer that selects.</param>
    /// <exception cref="ArgumentException">The map has no held mass.</exception>
    public static int[][] Deal(ChannelMap map, double share, int first)
    {
        ArgumentNullException.ThrowIfNull(map);
        if (!map.HasHeld) throw new ArgumentException($"{map.Source} does not say what tokens bring each head", nameof(map));
        IReadOnlyList<float>[] curves = [.. Enumerable.Range(0, Math.Max(0, map.Layers - first) * map.KvHeads).Select(i => map[first + i / map.KvHeads, i % map.KvHeads].Held!)];
        int[] units = [.. curves.Select(_ => Least)];
        for (int left = curves.Length * (SelectionRule.FactorUnits - Least); left > 0; left -= Part)
        {
            int best = 0;
            double most = double.NegativeInfinity;
            for (int i = 0; i < units.Length; i++)
            {
                if (units[i] + Part > Most) continue;
                double step = Math.Max(Part, units[i] * Ahead), gain = (Held(curves[i], share * (units[i] + step) / SelectionRule.FactorUnits) - Held(curves[i], share * units[i] / SelectionRule.FactorUnits)) / step;
                if (!(gain > most)) continue;
                most = gain;
                best = i;
            }
            units[best] += Part;
        }
        return [.. units.Chunk(map.KvHeads)];
    }

    /// <summary>The mass that <paramref name="share"/> of the tokens holds: straight between known ones over the logarithm of the share, from nothing at none to everything at all.</summary>
    internal static double Held(IReadOnlyList<float> curve, double share)
    {
        if (share >= Shares[0]) return curve[0] + (1 - curve[0]) * Math.Min(1, Math.Log(share / Shares[0]) / Math.Log(1 / Shares[0]));
        for (int i = 1; i < Shares.Count; i++)
        {
            if (share < Shares[i]) continue;
            return curve[i] + (curve[i - 1] - curve[i]) * Math.Log(share / Shares[i]) / Math.Log(Shares[i - 1] / Shares[i]);
        }
        return curve[^1] * share / Shares[^1];
    }
}
