using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What the numbers of one row of activations become in shared memory.</summary>
internal interface IInputForm
{
    /// <summary>
    /// Writes two pieces of 256 columns, of which a lane has eight each beside each other, in <paramref name="a"/> and <paramref name="b"/> of <paramref name="piece"/> and in <paramref name="c"/> and <paramref name="d"/> of the next: to the 64 units of 16 bytes
    /// where the numbers were, from <paramref name="x"/> on for all columns, with what they are multiples of to float <paramref name="piece"/> from unit <paramref name="scales"/> on, and to 32 bytes a piece from unit <paramref name="sums"/> on if the form has
    /// sums. By whole warps. What of one piece follows from another number of it is not waited for: the other's is calculated meanwhile.
    /// </summary>
    static abstract void Split(ArrayView<U4> memory, int x, int scales, int sums, int piece, int lane, F4 a, F4 b, F4 c, F4 d);
}
