using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>A channel map for benchmarks: keys are normal numbers, so any channels are as good as others, with mean 0 and deviation 1; taken at random, as calibration would find them in no order.</summary>
internal static class RandomChannels
{
    /// <summary>A map for <paramref name="config"/>, drawn from <paramref name="pattern"/>'s seed.</summary>
    public static ChannelMap Create(LlamaConfig config, RandomPattern pattern)
    {
        float[] mean = new float[config.HeadDim], deviation = new float[config.HeadDim];
        Array.Fill(deviation, 1f);
        HeadChannels[][] heads = [.. Enumerable.Range(0, config.Layers).Select(_ =>
            Enumerable.Range(0, config.KvHeads).Select(_ => new HeadChannels(pattern.Permutation(config.HeadDim), null, mean, deviation)).ToArray())];
        return new ChannelMap("bench", "random", config.HeadDim, config.RopeStyle, null, heads);
    }
}
