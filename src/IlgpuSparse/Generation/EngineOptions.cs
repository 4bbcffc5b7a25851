namespace IlgpuSparse.Generation;

/// <summary>Limits of a <see cref="GenerationEngine"/>. How many texts run at once is the decoder's <see cref="Llama.DecoderOptions.MaxSequences"/>, their memory its capacity.</summary>
public sealed record EngineOptions
{
    /// <summary>Most requests that wait to be admitted; one more is refused with an <see cref="EngineBusyException"/>.</summary>
    public int QueueLimit { get; init; } = 256;

    /// <summary>Most finished texts whose keys stay in the cache while there is room, so that a later prompt that begins alike need not be computed.</summary>
    public int KeptPrefixes { get; init; } = 32;
}
