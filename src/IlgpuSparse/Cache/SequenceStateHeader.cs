namespace IlgpuSparse.Cache;

/// <summary>What a state file says of itself, as JSON; all but the tokens has to be what the decoder expects.</summary>
/// <param name="Model">Fingerprint of the weights.</param>
/// <param name="Format">Element type of K and V.</param>
/// <param name="Layers">Layers.</param>
/// <param name="KvHeads">Key and value heads.</param>
/// <param name="HeadDim">Channels a head.</param>
/// <param name="Policy">What the attention policy keeps, in words that are the same for the same contents.</param>
/// <param name="BlockBytes">Bytes a cache block of every layer, all parts together.</param>
/// <param name="Tokens">Ids of the tokens in the cache.</param>
/// <param name="Pending">Ids that were drawn and are not in the cache yet.</param>
internal sealed record SequenceStateHeader(string Model, string Format, int Layers, int KvHeads, int HeadDim, string Policy, long BlockBytes, int[] Tokens, int[] Pending);
