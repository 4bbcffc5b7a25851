namespace IlgpuSparse.Compute;

/// <summary>Activations that pass an RMSNorm before a product.</summary>
/// <param name="X">Activations <c>[row, width]</c>.</param>
/// <param name="Norm">Weight of the norm, a matrix of one row in a plain format, as wide as x.</param>
/// <param name="Epsilon">The norm's ε.</param>
/// <param name="Normed">Scratch <c>[row, width]</c> for a backend that normalises in a pass of its own; undefined afterwards.</param>
public readonly record struct NormedInput(DeviceSpan X, WeightMatrix Norm, float Epsilon, DeviceSpan Normed);
