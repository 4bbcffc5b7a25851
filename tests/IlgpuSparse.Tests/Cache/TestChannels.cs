using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cache;

/// <summary>A channel map for models with random weights.</summary>
internal static class TestChannels
{
    public static ChannelMap Create(LlamaConfig config)
    {
        float[] mean = new float[config.HeadDim], deviation = new float[config.HeadDim];
        Array.Fill(deviation, 1f);
        HeadChannels[][] heads = [.. Enumerable.Range(0, config.Layers).Select(_ => Enumerable.Range(0, config.KvHeads).Select(_ => new HeadChannels([.. Enumerable.Range(0, config.HeadDim)], null, mean, deviation)).ToArray())];
        return new ChannelMap("test", "none", config.HeadDim, config.RopeStyle, null, heads);
    }
}
