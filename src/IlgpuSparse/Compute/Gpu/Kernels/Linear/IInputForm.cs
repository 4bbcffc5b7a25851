using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>What the numbers of one row of activations become in shared memory.</summary>
internal interface IInputForm
{
    /// <summary>
    /// Writes 256 columns, of which a lane has eight beside each other, in <paramref name="first"/> and <paramref name="second"/>: to the 64 units of 16 bytes where the numbers were, from <paramref name="x"/> on for all columns, with what they are
    /// multiples of to float <paramref name="piece"/> from unit <paramref name="scales"/> on, and to 32 bytes a piece from unit <paramref name="sums"/> on if the form has sums. By whole warps.
    /// </summary>
    static abstract void Split(ArrayView<U4> memory, int x, int scales, int sums, int piece, int lane, F4 first, F4 second);
}
