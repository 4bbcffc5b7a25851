using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>fp16 and bf16 bit patterns as singles, without the checks of <see cref="Half"/>.</summary>
internal static unsafe class HalfBits
{
    /// <summary>2^112: the difference of the exponent biases (127 - 15).</summary>
    public const float Rebias = 5.192296858534828e33f;

    /// <summary>The finite half-precision number with these bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(ushort bits) => BitConverter.Int32BitsToSingle(((short)bits << 13) & unchecked((int)0x8fffe000)) * Rebias;

    /// <summary>The half-precision number that a block begins with.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Read(byte* source) => ToSingle(Unsafe.ReadUnaligned<ushort>(source));

    /// <summary>The bfloat16 number with these bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float BFloatToSingle(ushort bits) => BitConverter.Int32BitsToSingle(bits << 16);
}
