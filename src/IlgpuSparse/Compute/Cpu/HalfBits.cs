using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>fp16 and bf16 bit patterns as singles.</summary>
internal static unsafe class HalfBits
{
    /// <summary>What <see cref="ISimd{TSelf}.LoadHalves"/> multiplies by, a power of two: undone once a sum instead of once a number.</summary>
    public const float LoadFactor = 65536;

    /// <summary>
    /// The single for each of the 65,536 half-precision bit patterns. The scales of a matrix are few different ones, so the lines in use stay in the cache, and a looked-up scale
    /// costs the vector units nothing.
    /// </summary>
    public static readonly float* Table = MakeTable();

    /// <summary>
    /// The half-precision number that a block begins with, from <paramref name="table"/>, which is <see cref="Table"/>: kernels take it once, because a static of a class with an
    /// initialiser costs a call wherever it is read.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(float* table, byte* source) => table[Unsafe.ReadUnaligned<ushort>(source)];

    /// <summary>The bfloat16 number with these bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float BFloatToSingle(ushort bits) => BitConverter.Int32BitsToSingle(bits << 16);

    // Lives as long as the process.
    private static float* MakeTable()
    {
        var table = (float*)NativeMemory.AlignedAlloc(65536 * sizeof(float), 64);
        for (int bits = 0; bits < 65536; bits++) table[bits] = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
        return table;
    }
}
