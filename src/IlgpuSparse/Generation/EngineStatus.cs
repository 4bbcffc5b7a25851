namespace IlgpuSparse.Generation;

/// <summary>What a <see cref="GenerationEngine"/> is doing.</summary>
/// <param name="Active">Texts that are prefilled or decoded.</param>
/// <param name="Queued">Requests that wait.</param>
/// <param name="Prefixes">Finished texts kept in the cache.</param>
/// <param name="FreeTokens">Tokens that fit into blocks nobody holds.</param>
/// <param name="Capacity">Tokens of the whole cache.</param>
/// <param name="Stopping">Whether new requests are refused.</param>
public sealed record EngineStatus(int Active, int Queued, int Prefixes, int FreeTokens, int Capacity, bool Stopping);
