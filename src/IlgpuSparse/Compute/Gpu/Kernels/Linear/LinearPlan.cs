namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Launch choices of a product of few rows.</summary>
/// <param name="Codec">How the weights are read.</param>
/// <param name="Tiles">Eight-column tiles of activations; 0 for a single row of a scaled format, -1 for the kernels of single rows.</param>
/// <param name="Warps">Warps a group.</param>
/// <param name="SharedBytes">Shared memory a group.</param>
/// <param name="Resident">Groups that fit on a multiprocessor; 0 when one is too much.</param>
/// <param name="Steps">Steps of a row of <see cref="LinearRowKernel"/>, stages of a row of <see cref="RowStreamKernel"/> or <see cref="RowDigitKernel"/>; 0 for <see cref="LinearKernel"/>.</param>
/// <param name="RowsPerShare">Weight rows of which groups take equal numbers: two of <see cref="RowStreamKernel"/>, eight of <see cref="RowDigitKernel"/>; 0 for the others.</param>
/// <param name="Depth">Depth of the rings (<see cref="RowRing"/>) of <see cref="RowStreamKernel"/> and <see cref="RowDigitKernel"/>.</param>
/// <param name="Layout">How maps describe the weights of <see cref="RowDigitKernel"/>; null where they are not copied by maps.</param>
/// <param name="Maps">Device address of these maps (<see cref="StageMaps"/>); 0 where there are none.</param>
internal sealed record LinearPlan(TileCodec Codec, int Tiles, int Warps, int SharedBytes, int Resident, int Steps = 0, int RowsPerShare = 0, int Depth = 0, StageLayout? Layout = null, long Maps = 0);
