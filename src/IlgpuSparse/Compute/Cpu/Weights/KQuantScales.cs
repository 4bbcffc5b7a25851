using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>The scales and minimums of the eight blocks of 32 in a Q4_K or Q5_K super-block: six bits each, packed into twelve bytes after the fp16 pair (d, dmin).</summary>
internal static unsafe class KQuantScales
{
    /// <summary>Bytes that a super-block begins with.</summary>
    public const int HeadBytes = 16;

    /// <summary>Floats that <see cref="Unpack"/> writes.</summary>
    public const int Count = 16;

    /// <summary>
    /// Writes the factors of the eight blocks, then what is added to their scaled codes. They go through memory because a broadcast from there is free of the units that are
    /// short here. <paramref name="halves"/> is <see cref="HalfBits.Table"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unpack(byte* block, float* halves, float* scales)
    {
        // Bytes 0-3: scales 0-3 (6 bits) and, above them, the upper two bits of scales 4-7; bytes 4-7 the same of the minimums;
        // bytes 8-11: the lower four bits of scales 4-7 and of minimums 4-7.
        uint a = Unsafe.ReadUnaligned<uint>(block + 4), b = Unsafe.ReadUnaligned<uint>(block + 8), c = Unsafe.ReadUnaligned<uint>(block + 12);
        ulong factors = (a & 0x3f3f3f3f) | (ulong)((c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030)) << 32;
        ulong minimums = (b & 0x3f3f3f3f) | (ulong)(((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030)) << 32;
        float d = HalfBits.Read(halves, block), dmin = -HalfBits.Read(halves, block + 2);
        var codes = Vector128.Create(factors, minimums).AsByte();
        if (Vector512.IsHardwareAccelerated && Avx512F.IsSupported)
        {
            var numbers = Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(codes));
            (numbers.GetLower() * d).Store(scales);
            (numbers.GetUpper() * dmin).Store(scales + 8);
            return;
        }
        Vector128<ushort> low = Vector128.WidenLower(codes), high = Vector128.WidenUpper(codes);
        (Vector128.ConvertToSingle(Vector128.WidenLower(low).AsInt32()) * d).Store(scales);
        (Vector128.ConvertToSingle(Vector128.WidenUpper(low).AsInt32()) * d).Store(scales + 4);
        (Vector128.ConvertToSingle(Vector128.WidenLower(high).AsInt32()) * dmin).Store(scales + 8);
        (Vector128.ConvertToSingle(Vector128.WidenUpper(high).AsInt32()) * dmin).Store(scales + 12);
    }
}
