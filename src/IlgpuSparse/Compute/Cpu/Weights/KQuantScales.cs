using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>The scales and minimums of the eight blocks of 32 in a Q4_K or Q5_K super-block: six bits each, packed into twelve bytes after the fp16 pair (d, dmin).</summary>
internal readonly unsafe struct KQuantScales
{
    private readonly float _d, _dmin;
    private readonly ulong _scales, _minimums;

    /// <summary>Unpacks the head (16 bytes) of the super-block at <paramref name="block"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public KQuantScales(byte* block)
    {
        _d = HalfBits.Read(block);
        _dmin = HalfBits.Read(block + 2);
        // Bytes 0-3: scales 0-3 (6 bits) and, above them, the upper two bits of scales 4-7; bytes 4-7 the same of the minimums;
        // bytes 8-11: the lower four bits of scales 4-7 and of minimums 4-7.
        uint a = Unsafe.ReadUnaligned<uint>(block + 4), b = Unsafe.ReadUnaligned<uint>(block + 8), c = Unsafe.ReadUnaligned<uint>(block + 12);
        _scales = (a & 0x3f3f3f3f) | (ulong)((c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030)) << 32;
        _minimums = (b & 0x3f3f3f3f) | (ulong)(((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030)) << 32;
    }

    /// <summary>Factor of the codes of block <paramref name="index"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Scale(int index) => _d * (byte)(_scales >> 8 * index);

    /// <summary>What is added to the scaled codes of block <paramref name="index"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Offset(int index) => -_dmin * (byte)(_minimums >> 8 * index);
}
