using IlgpuSparse.Generation;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Draws by a <see cref="Sampler"/>, which is kept while the options stay the same.</summary>
internal sealed unsafe class CpuSample
{
    // SplitMix64's, and another odd number that keeps rows apart; GPU kernels have the same
    private const ulong DrawStep = 0x9E3779B97F4A7C15, RowStep = 0xD1342543DE82EF95;

    private SamplingOptions? _options;
    private Sampler? _sampler;

    /// <summary>See <see cref="ComputeBackend.Sample"/>.</summary>
    public void Run(DeviceSpan logits, int rows, int vocabulary, SamplingOptions options, DeviceSpan draws, DeviceSpan ids)
    {
        if (_sampler is null || options != _options) (_sampler, _options) = (new Sampler(options), options);
        float* from = CpuBuffer.Pointer<float>(logits);
        int* drawn = CpuBuffer.Pointer<int>(draws), tokens = CpuBuffer.Pointer<int>(ids);
        for (int row = 0; row < rows; row++)
        {
            ulong state = options.Seed + (ulong)row * RowStep + (ulong)drawn[row] * DrawStep;
            tokens[row] = _sampler.NextAt(state, new ReadOnlySpan<float>(from + (long)row * vocabulary, vocabulary));
            if (options.Temperature > 0) drawn[row]++;
        }
    }
}
