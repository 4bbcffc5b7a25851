using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// A channel map for benchmarks: keys are normal numbers, so any channels are as good as others, with mean 0 and deviation 1; taken at random, as calibration would find them in no order. The directions of rotated labels are channels too,
/// as many as there can be and all worth the same: no map takes more time.
/// </summary>
internal static class RandomChannels
{
    /// <summary>A map for <paramref name="config"/>, drawn from <paramref name="pattern"/>'s seed.</summary>
    public static ChannelMap Create(LlamaConfig config, RandomPattern pattern)
    {
        HeadChannels[][] heads = [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => Head(pattern.Permutation(config.HeadDim))).ToArray())];
        return new ChannelMap("bench", "random", config.HeadDim, config.RopeStyle, null, heads);
    }

    private static HeadChannels Head(int[] order)
    {
        float[] zeros = new float[order.Length], ones = [.. Enumerable.Repeat(1f, order.Length)];
        int count = Math.Min(BasisFit.MostDirections, order.Length);
        byte[] rows = LabelBasis.Pack(order.Take(count).Select(c =>
        {
            var row = new float[order.Length];
            row[c] = 1;
            return row;
        }));
        return new HeadChannels(order, ones, zeros, ones, new LabelBasis(ones[..count], zeros[..count], ones[..count], rows, rows), Held: [.. TokenSplit.Shares.Select(s => (float)s)]);
    }
}
