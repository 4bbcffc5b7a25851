namespace IlgpuSparse.Compute;

/// <summary>Projections of one layer's attention.</summary>
/// <param name="Q">Query projection <c>[heads · headDim, hidden]</c>.</param>
/// <param name="K">Key projection <c>[kvHeads · headDim, hidden]</c>.</param>
/// <param name="V">Value projection <c>[kvHeads · headDim, hidden]</c>.</param>
/// <param name="QBias">Bias of <paramref name="Q"/>, if any.</param>
/// <param name="KBias">Bias of <paramref name="K"/>, if any.</param>
/// <param name="VBias">Bias of <paramref name="V"/>, if any.</param>
public readonly record struct QkvWeights(WeightMatrix Q, WeightMatrix K, WeightMatrix V, WeightMatrix? QBias = null, WeightMatrix? KBias = null, WeightMatrix? VBias = null);
