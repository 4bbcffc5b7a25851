namespace IlgpuSparse.Compute;

/// <summary>The two projections that a SwiGLU feed-forward begins with.</summary>
/// <param name="Gate">Gate projection <c>[intermediate, hidden]</c>.</param>
/// <param name="Up">Up projection <c>[intermediate, hidden]</c>.</param>
/// <param name="GateBias">Bias of <paramref name="Gate"/>, if any.</param>
/// <param name="UpBias">Bias of <paramref name="Up"/>, if any.</param>
public readonly record struct GateUpWeights(WeightMatrix Gate, WeightMatrix Up, WeightMatrix? GateBias = null, WeightMatrix? UpBias = null);
