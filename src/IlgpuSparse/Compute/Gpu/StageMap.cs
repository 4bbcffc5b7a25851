using System.Runtime.CompilerServices;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Where the rows of a weight matrix lie that a <see cref="RowDigitKernel"/> takes eight at a time: four side by side in their order, and four more some way behind them. All distances are in bytes, multiples of 16. It is what
/// <see cref="CudaDriver.TryEncodeStageMap"/> makes a tensor map of (<c>CUtensorMap</c>), and by itself what the CPU accelerator has for one.
/// </summary>
/// <param name="Units">Units of 16 bytes of a row's stage.</param>
/// <param name="Address">Device address of the first row.</param>
/// <param name="RowBytes">Bytes of a row.</param>
/// <param name="Row">From one of four rows to the next.</param>
/// <param name="Half">From the first four rows to the others.</param>
/// <param name="Parts">Eights of rows that follow each other at a distance of <paramref name="Part"/>.</param>
/// <param name="Part">From one eight to the next.</param>
/// <param name="Blocks">Times as many eights, at a distance of <paramref name="Block"/>.</param>
/// <param name="Block">From the eights of one block to those of the next.</param>
internal readonly record struct StageMap(int Units, long Address, long RowBytes, long Row, long Half, int Parts, long Part, int Blocks, long Block)
{
    /// <summary>Bytes of device memory for a map.</summary>
    public const int Size = 128;

    /// <summary>What the copy engine does, see <see cref="TensorCopy.Start"/>.</summary>
    public unsafe void Copy(ref U4 shared, int column, int part, int block)
    {
        for (int row = 0; row < 8; row++)
        {
            long at = (row & 3) * Row + (row >> 2) * Half + part * Part + block * Block;
            for (int unit = 0; unit < Units; unit++)
            {
                // it knows no other starts than multiples of 16 bytes: an illegal instruction
                long start = 4L * (column & ~3) + 16 * unit;
                Unsafe.Add(ref shared, row * Units + unit) = start < RowBytes && part < Parts && block < Blocks ? *(U4*)(Address + at + start) : default;
            }
        }
    }
}
