namespace IlgpuSparse.Compute.Gpu.Kernels.Fused;

/// <summary>Clusters of one size that a device runs at once.</summary>
/// <param name="AtOnce">With groups that share multiprocessors.</param>
/// <param name="Alone">With a multiprocessor for every group.</param>
internal readonly record struct ClusterRoom(int AtOnce, int Alone);
