using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>
/// Every head's vector times the matrix of its kv head, for eight rows a group. Threads lie along the outputs, so that a matrix row is read coalesced, and share its inputs among them in parts; the parts are added up in shared memory.
/// </summary>
internal static class ProjectHeadsKernel
{
    public const int GroupSize = 256;

    /// <summary>Rows a group.</summary>
    public const int Rows = 8;

    /// <summary>Most channels a head.</summary>
    public const int MaxInputs = 256;

    public static KernelVariant Variant => KernelVariant.Of(Run, GroupSize);

    /// <summary>Grid (rows / 8, heads, outputs / width).</summary>
    /// <param name="x"><c>[row, head, inputs]</c>.</param>
    /// <param name="matrix"><c>[kvHead, paddedInputs, outputs]</c>.</param>
    /// <param name="y"><c>[row, head, outputs]</c>.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="heads">Heads a row.</param>
    /// <param name="groupSize">Heads of one matrix.</param>
    /// <param name="inputs">Channels a head.</param>
    /// <param name="paddedInputs">Rows a matrix: a multiple of 32, beyond the inputs zero.</param>
    /// <param name="outputs">Numbers a head afterwards.</param>
    /// <param name="widthShift">log2 of the outputs a group; 16 to 256, and as many inputs are shared as there are threads left.</param>
    public static void Run(ArrayView<float> x, ArrayView<float> matrix, ArrayView<float> y, int rows, int heads, int groupSize, int inputs, int paddedInputs, int outputs, int widthShift)
    {
        var tile = SharedMemory.Allocate<F4>(Rows * MaxInputs / 4);
        var sums = SharedMemory.Allocate<float>(Rows * GroupSize);
        var numbers = tile.Cast<float>();
        int thread = Group.IdxX, width = 1 << widthShift, head = Grid.IdxY, first = Grid.IdxX * Rows;
        for (int i = thread; i < Rows * paddedInputs; i += Group.DimX)
        {
            int line = i / paddedInputs, c = i - line * paddedInputs, row = first + line;
            float value = 0f;
            if (row < rows && c < inputs) value = x[((long)row * heads + head) * inputs + c];
            numbers[i] = value;
        }
        Group.Barrier();

        int parts = Group.DimX >> widthShift, share = paddedInputs / parts, start = (thread >> widthShift) * share, own = Grid.IdxZ * width + (thread & (width - 1));
        long at = ((long)(head / groupSize) * paddedInputs + start) * outputs + Math.Min(own, outputs - 1);
        var sum = new float[Rows];
        for (int r = 0; r < Rows; r++) sum[r] = 0f;
        for (int c = start >> 2; c < start + share >> 2; c++)
        {
            // all four under way before one is needed
            float m0 = matrix[at], m1 = matrix[at + outputs], m2 = matrix[at + 2 * outputs], m3 = matrix[at + 3 * outputs];
            for (int r = 0; r < Rows; r++)
            {
                var value = tile[r * (paddedInputs >> 2) + c];
                sum[r] += value.X * m0 + value.Y * m1 + value.Z * m2 + value.W * m3;
            }
            at += 4L * outputs;
        }
        for (int r = 0; r < Rows; r++) sums[r * Group.DimX + thread] = sum[r];
        Group.Barrier();

        for (int i = thread; i < Rows << widthShift; i += Group.DimX)
        {
            int line = i >> widthShift, column = i & (width - 1), row = first + line, output = Grid.IdxZ * width + column;
            float total = 0f;
            for (int p = 0; p < parts; p++) total += sums[line * Group.DimX + (p << widthShift) + column];
            if (row < rows && output < outputs) y[((long)row * heads + head) * outputs + output] = total;
        }
    }
}
