namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Launch choices of a <see cref="LinearKernel"/>.</summary>
/// <param name="Codec">How the weights are read.</param>
/// <param name="Tiles">Eight-column tiles of activations; 0 for a single row of a scaled format.</param>
/// <param name="Warps">Warps a group.</param>
/// <param name="SharedBytes">Shared memory a group.</param>
/// <param name="Resident">Groups that fit on a multiprocessor; 0 when one is too much.</param>
internal sealed record LinearPlan(TileCodec Codec, int Tiles, int Warps, int SharedBytes, int Resident);
