namespace IlgpuSparse.Compute;

/// <summary>Which blocks of a <see cref="KvLayer"/> the rows of a step have, int32 <c>[row, Width]</c>.</summary>
/// <param name="Blocks">The ids.</param>
/// <param name="Width">Ids a row.</param>
internal sealed record KvBlockTable(DeviceBuffer Blocks, int Width);
