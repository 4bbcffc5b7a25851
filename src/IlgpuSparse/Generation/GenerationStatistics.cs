using IlgpuSparse.Cache;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Generation;

/// <summary>What a generation took and read.</summary>
public sealed class GenerationStatistics
{
    private double _steadySeconds, _processorSeconds;

    /// <summary>Tokens of the prompt that were prefilled.</summary>
    public int PromptTokens { get; internal set; }

    /// <summary>Seconds in which kernels were compiled and loaded, steps recorded and the channel map of a text made: counted neither as prefill nor as decode.</summary>
    public double PreparationSeconds { get; internal set; }

    /// <summary>Seconds in which the text's own channel map was made and its labels by it (<c>map=online</c>): part of <see cref="PreparationSeconds"/>.</summary>
    public double CalibrationSeconds { get; internal set; }

    /// <summary>How many times that was: more than once where the text drifted.</summary>
    public int CalibratedMaps { get; internal set; }

    /// <summary>Tokens of the prompt that were found in the cache, because an earlier text began alike.</summary>
    public int ReusedTokens { get; internal set; }

    /// <summary>Seconds that the request waited for others; of a <see cref="GenerationEngine"/>.</summary>
    public double QueueSeconds { get; internal set; }

    /// <summary>Seconds from the request to the first token, waiting included; of a <see cref="GenerationEngine"/>.</summary>
    public double FirstTokenSeconds { get; internal set; }

    /// <summary>Seconds from the start to the logits of the prompt's last token.</summary>
    public double PrefillSeconds { get; internal set; }

    /// <summary>Tokens generated.</summary>
    public int NewTokens { get; internal set; }

    /// <summary>Decode steps: the first new token needs none, prefill gave its logits.</summary>
    public int DecodeSteps { get; internal set; }

    /// <summary>Kernels and copies of a decode step that the backend does by a recording; 0 where it records none.</summary>
    public int KernelsPerStep { get; internal set; }

    /// <summary>Seconds in decode steps; where the device computes ahead, all from the first one on, with what the caller does between tokens.</summary>
    public double DecodeSeconds { get; internal set; }

    /// <summary>
    /// Processor cores that the process keeps busy while it decodes: processor time, but for what the just-in-time compiler takes, over the time of all steps without <see cref="PreparationSeconds"/> of their own; 0
    /// where there are none.
    /// </summary>
    public double ProcessorCores => _steadySeconds > 0 ? Math.Max(0, _processorSeconds) / _steadySeconds : 0;

    /// <summary>Bytes of K, V and labels that the decode steps read.</summary>
    public long CacheBytesRead { get; internal set; }

    /// <summary>Bytes of K and V that the same steps would have read densely.</summary>
    public long DenseBytesRead { get; internal set; }

    /// <summary>What the decode steps read of K and V in host memory; null where they do not lie there, and before the end.</summary>
    public OffloadCounts? Offload { get; internal set; }

    /// <summary>Bytes of weights that one token reads.</summary>
    public long WeightBytesPerToken { get; internal set; }

    /// <summary>Prompt tokens a second.</summary>
    public double PrefillTokensPerSecond => PrefillSeconds > 0 ? PromptTokens / PrefillSeconds : 0;

    /// <summary>Decode steps a second.</summary>
    public double DecodeTokensPerSecond => DecodeSeconds > 0 ? DecodeSteps / DecodeSeconds : 0;

    /// <summary>Bytes of cache read over the bytes of a dense read, labels counted; 1 is dense.</summary>
    public double Density => DenseBytesRead > 0 ? (double)CacheBytesRead / DenseBytesRead : 1;

    /// <summary>Bytes of K, V and labels that an average step read.</summary>
    public long CacheBytesPerToken => DecodeSteps > 0 ? CacheBytesRead / DecodeSteps : 0;

    /// <summary>A decode step of <paramref name="decoder"/> at <paramref name="position"/>, through its policy or with full attention.</summary>
    internal void CountStep(LlamaDecoder decoder, int position, bool dense = false)
    {
        DecodeSteps++;
        KernelsPerStep = decoder.StepNodes;
        CacheBytesRead += dense ? decoder.DenseBytesRead(position) : decoder.Policy.BytesRead(position);
        DenseBytesRead += decoder.DenseBytesRead(position);
    }

    /// <summary>A decode step in which nothing was prepared.</summary>
    internal void NoteSteady(double seconds, double processorSeconds)
    {
        _steadySeconds += seconds;
        _processorSeconds += processorSeconds;
    }
}
