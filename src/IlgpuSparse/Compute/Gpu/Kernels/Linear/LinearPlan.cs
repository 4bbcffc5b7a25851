namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Launch choices of a <see cref="LinearKernel"/>.</summary>
/// <param name="Codec">How the weights are read.</param>
/// <param name="Tiles">Eight-column tiles of activations; 0 for a single row of a scaled format, -1 for <see cref="LinearRowKernel"/>.</param>
/// <param name="Warps">Warps a group.</param>
/// <param name="SharedBytes">Shared memory a group.</param>
/// <param name="Resident">Groups that fit on a multiprocessor; 0 when one is too much.</param>
/// <param name="Steps">Steps of a row of <see cref="LinearRowKernel"/>; 0 for the other kernel.</param>
internal sealed record LinearPlan(TileCodec Codec, int Tiles, int Warps, int SharedBytes, int Resident, int Steps = 0);
