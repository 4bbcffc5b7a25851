using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Weights;

/// <summary>
/// Super-blocks of 256 in 210 bytes: 128 bytes of lower nibbles, 64 bytes of upper bit pairs, 16 signed scales (one for 16 numbers), fp16 d; w = d·scale·(q - 32).
/// Each half of 128 numbers uses 64 bytes of nibbles and 32 of pairs: quarters 0 and 1 are the low nibbles of the two 32-byte runs, 2 and 3 the high ones, and bits 2k of a pair byte belong to quarter k.
/// </summary>
internal readonly unsafe struct Q6_KWeights : IWeightFormat
{
    private const int BlockBytes = 210, BlockElements = 256, ScaleBytes = 192;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Dot<V>(byte* row, float* x, int columns) where V : struct, ISimd<V>
    {
        V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
        for (; columns >= BlockElements; columns -= BlockElements, row += BlockBytes, x += BlockElements)
        {
            float d = HalfBits.Read(row + BlockBytes - 2);
            for (int part = 0; part < 16; part += 4)
            {
                // part: half, then which 16 of the 32 positions.
                int half = part >> 3, place = (part >> 2 & 1) * 16;
                byte* nibbles = row + half * 64 + place, pairs = row + 128 + half * 32 + place;
                var scale = (sbyte*)row + ScaleBytes + half * 8 + (place >> 4);
                V scale0 = V.Create(d * scale[0]), scale1 = V.Create(d * scale[2]), scale2 = V.Create(d * scale[4]), scale3 = V.Create(d * scale[6]);
                float* at = x + half * 128 + place;
                for (int i = 0; i < 16; i += V.Count)
                {
                    V a = V.LoadBytes(nibbles + i), b = V.LoadBytes(nibbles + 32 + i), top = V.LoadBytes(pairs + i);
                    sum0 = V.MultiplyAdd(V.Multiply(Code(V.And(a, 15), V.ShiftLeft(top, 4)), scale0), V.Load(at + i), sum0);
                    sum1 = V.MultiplyAdd(V.Multiply(Code(V.And(b, 15), V.ShiftLeft(top, 2)), scale1), V.Load(at + 32 + i), sum1);
                    sum2 = V.MultiplyAdd(V.Multiply(Code(V.ShiftRight(a, 4), top), scale2), V.Load(at + 64 + i), sum2);
                    sum3 = V.MultiplyAdd(V.Multiply(Code(V.ShiftRight(b, 4), V.ShiftRight(top, 2)), scale3), V.Load(at + 96 + i), sum3);
                }
            }
        }
        return V.Sum(V.Add(V.Add(sum0, sum1), V.Add(sum2, sum3)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Dequantise<V>(byte* row, float* target, int count) where V : struct, ISimd<V>
    {
        for (; count >= BlockElements; count -= BlockElements, row += BlockBytes, target += BlockElements)
        {
            float d = HalfBits.Read(row + BlockBytes - 2);
            for (int part = 0; part < 16; part += 4)
            {
                int half = part >> 3, place = (part >> 2 & 1) * 16;
                byte* nibbles = row + half * 64 + place, pairs = row + 128 + half * 32 + place;
                var scale = (sbyte*)row + ScaleBytes + half * 8 + (place >> 4);
                V scale0 = V.Create(d * scale[0]), scale1 = V.Create(d * scale[2]), scale2 = V.Create(d * scale[4]), scale3 = V.Create(d * scale[6]);
                float* at = target + half * 128 + place;
                for (int i = 0; i < 16; i += V.Count)
                {
                    V a = V.LoadBytes(nibbles + i), b = V.LoadBytes(nibbles + 32 + i), top = V.LoadBytes(pairs + i);
                    V.Store(V.Multiply(Code(V.And(a, 15), V.ShiftLeft(top, 4)), scale0), at + i);
                    V.Store(V.Multiply(Code(V.And(b, 15), V.ShiftLeft(top, 2)), scale1), at + 32 + i);
                    V.Store(V.Multiply(Code(V.ShiftRight(a, 4), top), scale2), at + 64 + i);
                    V.Store(V.Multiply(Code(V.ShiftRight(b, 4), V.ShiftRight(top, 2)), scale3), at + 96 + i);
                }
            }
        }
    }

    // Six bits centred: the pair stands at bits 4 and 5 of top.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Code<V>(V nibble, V top) where V : struct, ISimd<V> => V.Add(V.ToFloat(V.Or(nibble, V.And(top, 0x30))), V.Create(-32));
}
