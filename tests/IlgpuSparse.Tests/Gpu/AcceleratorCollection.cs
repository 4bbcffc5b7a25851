namespace IlgpuSparse.Tests.Gpu;

/// <summary>Tests that run kernels: one after the other, on shared devices. Mark a class with <c>[Collection("accelerators")]</c> and take <see cref="Accelerators"/>.</summary>
[CollectionDefinition("accelerators")]
public sealed class AcceleratorCollection : ICollectionFixture<Accelerators>;
