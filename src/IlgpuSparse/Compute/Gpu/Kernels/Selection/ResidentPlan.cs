namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>How a step is shared out among groups that are all on the device at once.</summary>
/// <param name="Tiles">Tiles of queries that the kernel is made for, see <see cref="ScoreKernel.Tiles"/>.</param>
/// <param name="Narrow">Whether labels are two beside each other, see <see cref="NarrowProduct{TBits}"/>.</param>
/// <param name="Groups">Groups of a set.</param>
/// <param name="Args">Sizes of shared memory.</param>
internal readonly record struct ResidentPlan(int Tiles, bool Narrow, int Groups, ResidentArgs Args);
