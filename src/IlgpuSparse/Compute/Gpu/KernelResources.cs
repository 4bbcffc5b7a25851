namespace IlgpuSparse.Compute.Gpu;

/// <summary>What the CUDA driver's compiler gave a kernel.</summary>
/// <param name="Registers">Registers a thread.</param>
/// <param name="LocalBytes">Bytes of local memory a thread: spills and arrays that did not fit into registers.</param>
/// <param name="SharedBytes">Static shared memory a group.</param>
internal readonly record struct KernelResources(int Registers, int LocalBytes, int SharedBytes);
