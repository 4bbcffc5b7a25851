using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>
/// Super-blocks of 256 in 210 bytes: 128 bytes of lower nibbles, 64 bytes of upper bit pairs, 16 signed scales (one for 16 numbers), fp16 d; w = d·scale·(q - 32).
/// Each half of 128 numbers uses 64 bytes of nibbles and 32 of pairs: quarters 0 and 1 are the low nibbles of the two 32-byte runs, 2 and 3 the high ones, and bits 2k of a pair byte belong to quarter k.
/// </summary>
internal readonly unsafe struct Q6_KWeights : IWeightFormat
{
    private const int BlockBytes = 210, BlockElements = 256, Groups = 16, PairsAt = 128, ScalesAt = 192, FactorAt = 208;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[Groups];
        byte* codes = stackalloc byte[BlockElements];
        V even = V.Zero, odd = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes, x += BlockElements)
        {
            Prefetch.Ahead(row);
            Prefetch.Ahead(row + 64);
            Prefetch.Ahead(row + 128);
            Prefetch.Ahead(row + 192);
            UnpackScales<V>(row, halves, scales);
            Unpack(row, codes);
            for (int i = 0, group = 0; i < BlockElements; i += 32, group += 2)
            {
                even = V.MultiplyAdd(Group<V>(codes + i, x + i), V.Create(scales[group]), even);
                odd = V.MultiplyAdd(Group<V>(codes + i + 16, x + i + 16), V.Create(scales[group + 1]), odd);
            }
        }
        return V.Sum(V.Add(even, odd));
    }

    // The 16 products of a group, summed to one vector.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Group<V>(byte* codes, float* x) where V : struct, ISimd<V>
    {
        V sum = V.Multiply(V.LoadSBytes(codes), V.Load(x));
        for (int i = V.Count; i < 16; i += V.Count) sum = V.MultiplyAdd(V.LoadSBytes(codes + i), V.Load(x + i), sum);
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        float* halves = HalfBits.Table, scales = stackalloc float[Groups];
        byte* codes = stackalloc byte[BlockElements];
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            UnpackScales<V>(row, halves, scales);
            Unpack(row, codes);
            for (int group = 0; group < Groups; group++)
            {
                V scale = V.Create(scales[group]);
                for (int i = 16 * group; i < 16 * group + 16; i += V.Count) V.Store(V.Multiply(V.LoadSBytes(codes + i), scale), target + i);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void UnpackScales<V>(byte* block, float* halves, float* scales) where V : struct, ISimd<V>
    {
        V d = V.Create(HalfBits.Read(halves, block + FactorAt));
        for (int i = 0; i < Groups; i += V.Count) V.Store(V.Multiply(V.LoadSBytes(block + ScalesAt + i), d), scales + i);
    }

    // The 256 codes, centred, as signed bytes in order: put together 32 at a time, before they are widened.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(byte* block, byte* codes)
    {
        Vector256<byte> low = Vector256.Create((byte)15), top = Vector256.Create((byte)0x30), centre = Vector256.Create((byte)32);
        for (int half = 0; half < 2; half++, codes += 128)
        {
            Vector256<byte> a = Vector256.Load(block + 64 * half), b = Vector256.Load(block + 64 * half + 32), pairs = Vector256.Load(block + PairsAt + 32 * half);
            // Words are shifted, and the bits that came over from the neighbouring byte are masked away.
            (((a & low) | (Vector256.ShiftLeft(pairs.AsUInt16(), 4).AsByte() & top)) - centre).Store(codes);
            (((b & low) | (Vector256.ShiftLeft(pairs.AsUInt16(), 2).AsByte() & top)) - centre).Store(codes + 32);
            (((Vector256.ShiftRightLogical(a.AsUInt16(), 4).AsByte() & low) | (pairs & top)) - centre).Store(codes + 64);
            (((Vector256.ShiftRightLogical(b.AsUInt16(), 4).AsByte() & low) | (Vector256.ShiftRightLogical(pairs.AsUInt16(), 2).AsByte() & top)) - centre).Store(codes + 96);
        }
    }
}
