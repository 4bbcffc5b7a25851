using IlgpuSparse.Model;

namespace IlgpuSparse.Compute;

/// <summary>Rotary frequencies of a model: <see cref="InverseFrequencies"/> <c>[headDim / 2]</c>, already scaled.</summary>
public sealed class RopeTable : IDisposable
{
    /// <summary>Computes the frequencies of <paramref name="config"/> and puts them on <paramref name="backend"/>.</summary>
    public RopeTable(ComputeBackend backend, LlamaConfig config)
    {
        Style = config.RopeStyle;
        HeadDim = config.HeadDim;
        float[] frequencies = Frequencies(config);
        InverseFrequencies = backend.Allocate(frequencies.Length * sizeof(float), "rope");
        ((DeviceSpan)InverseFrequencies).Upload<float>(frequencies);
    }

    /// <summary>Pairing of the channels.</summary>
    public RopeStyle Style { get; }

    /// <summary>Channels a head.</summary>
    public int HeadDim { get; }

    /// <summary>Angle a position, fp32 <c>[headDim / 2]</c>.</summary>
    public DeviceBuffer InverseFrequencies { get; }

    /// <summary>theta^(-2i/d), divided by the factor for linear scaling, by the published ramp for Llama 3.1, and by the divisors that the file carries, if any.</summary>
    public static float[] Frequencies(LlamaConfig config)
    {
        var scaling = config.RopeScaling;
        var result = new float[config.HeadDim / 2];
        for (int i = 0; i < result.Length; i++)
        {
            double frequency = Math.Pow(config.RopeTheta, -2.0 * i / config.HeadDim);
            frequency = scaling.Kind switch
            {
                RopeScalingKind.None => frequency,
                RopeScalingKind.Linear => frequency / scaling.Factor,
                _ => Llama3(frequency, scaling),
            };
            result[i] = (float)(frequency / (config.RopeFrequencyFactors?[i] ?? 1f));
        }
        return result;
    }

    private static double Llama3(double frequency, RopeScaling scaling)
    {
        double wavelength = 2 * Math.PI / frequency;
        double turns = scaling.OriginalContext / wavelength; // rotations over the original context
        if (turns < scaling.LowFrequencyFactor) return frequency / scaling.Factor;
        if (turns > scaling.HighFrequencyFactor) return frequency;
        double smooth = (turns - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        return (1 - smooth) * frequency / scaling.Factor + smooth * frequency;
    }

    /// <inheritdoc/>
    public void Dispose() => InverseFrequencies.Dispose();
}
