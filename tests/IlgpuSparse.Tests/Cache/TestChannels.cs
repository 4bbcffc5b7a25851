using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cache;

/// <summary>A channel map for models with random weights.</summary>
internal static class TestChannels
{
    public static ChannelMap Create(LlamaConfig config, bool held = false, IReadOnlyList<PredictionRecall>? predictions = null)
    {
        float[] mean = new float[config.HeadDim], deviation = new float[config.HeadDim];
        Array.Fill(deviation, 1f);
        HeadChannels[][] heads = [.. Enumerable.Range(0, config.Layers).Select(layer => Enumerable.Range(0, config.KvHeads).Select(_ => new HeadChannels([.. Enumerable.Range(0, config.HeadDim)], null, mean, deviation, Held: held ? Held(layer) : null)).ToArray())];
        return new ChannelMap("test", "none", config.HeadDim, config.RopeStyle, null, heads) { Predictions = predictions };
    }

    // deeper layers need more tokens
    private static float[] Held(int layer) => [.. TokenSplit.Shares.Select(share => (float)Math.Pow(share, (layer + 1) / (layer + 2.0)))];
}
