using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>An operand of <see cref="TensorProductKernel"/>.</summary>
/// <param name="Brain">Whether its numbers are bfloat16, else half precision.</param>
/// <param name="Data">Numbers <c>[plane, row, column]</c>.</param>
/// <param name="Scales">One a row, or null for none.</param>
/// <param name="Planes">Planes.</param>
/// <param name="Rows">Rows.</param>
internal readonly record struct RowPlanes(bool Brain, ArrayView<ushort> Data, ArrayView<float>? Scales, int Planes, int Rows);
