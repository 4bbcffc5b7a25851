using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Products;

/// <summary>An operand of <see cref="TensorProductKernel"/>.</summary>
/// <param name="Brain">Whether its numbers are bfloat16, else half precision.</param>
/// <param name="Data">Numbers <c>[plane, row, column]</c>.</param>
/// <param name="Scales">What the numbers of a row are to be multiplied with, one a row; any memory unless <paramref name="Scaled"/>.</param>
/// <param name="Scaled">Whether there are scales.</param>
/// <param name="Planes">Planes.</param>
/// <param name="Rows">Rows.</param>
internal readonly record struct RowPlanes(bool Brain, ArrayView<ushort> Data, ArrayView<float> Scales, bool Scaled, int Planes, int Rows);
