namespace IlgpuSparse.Compute;

/// <summary>
/// K and V of a decode step's own tokens that are still to be written to the cache: before the step, or within it by a kernel that does something else as well. Not for rows that see one another's.
/// </summary>
/// <param name="K">Keys <c>[row, kvHead, headDim]</c>, after RoPE.</param>
/// <param name="V">Values, as <paramref name="K"/>.</param>
internal readonly record struct OwnRows(DeviceSpan K, DeviceSpan V);
