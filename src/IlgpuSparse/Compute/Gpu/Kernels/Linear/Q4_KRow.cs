using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q4_K: a super-block of 256 has its scales in the first 16 bytes and codes in eight pieces; piece 2p + h has numbers 16h to 16h + 15 of block 2p in its low nibbles, of block 2p + 1 in its high ones.</summary>
internal readonly struct Q4_KRow : IRowCodec
{
    public static int Depth => 2;

    public static int Quads => 8;

    public static bool Scaled => true;

    public static int Pieces(LinearArgs args) => args.Columns >> 5;

    public static U4 Codes(long row, int piece, int wanted, ulong policy) => LinearOps.LoadOnce(row + (piece >> 3) * 144L + 16 + (piece & 7) * 16, wanted, policy);

    public static U4 Scales(long row, int piece, int wanted, ulong policy) => LinearOps.LoadOnce(row + (piece >> 3) * 144L, wanted, policy);

    public static void Place(ArrayView<U4> memory, int quad, int quads, F4 value)
    {
        // bits of quad: super-block, pair of blocks (2), member, half, word of the half (2)
        int piece = (quad >> 6) * 8 + (quad >> 4 & 3) * 2 + (quad >> 2 & 1);
        memory.Cast<F4>()[Place(piece, (quad >> 3 & 1) * 4 + (quad & 3))] = value;
    }

    public static RowSums Add(ArrayView<U4> memory, int piece, U4 upper, U4 upperScales, U4 lower, U4 lowerScales, RowSums sums)
    {
        var activations = memory.Cast<F4>();
        var upperPair = Pair(upperScales, piece >> 1 & 3);
        var lowerPair = Pair(lowerScales, piece >> 1 & 3);
        for (int high = 0; high < 2; high++)
        {
            F4 upperSum = default, lowerSum = default, total = default;
            for (int word = 0; word < 4; word++)
            {
                var x = activations[Place(piece, high * 4 + word)];
                upperSum = Add(x, Nibbles(Part(upper, word), high), upperSum);
                lowerSum = Add(x, Nibbles(Part(lower, word), high), lowerSum);
                total.X += x.X;
                total.Y += x.Y;
                total.Z += x.Z;
                total.W += x.W;
            }
            float step = high == 0 ? upperPair.X : upperPair.Z, offset = high == 0 ? upperPair.Y : upperPair.W;
            sums.Upper = Add(upperSum, step, total, offset, sums.Upper);
            step = high == 0 ? lowerPair.X : lowerPair.Z;
            offset = high == 0 ? lowerPair.Y : lowerPair.W;
            sums.Lower = Add(lowerSum, step, total, offset, sums.Lower);
        }
        return sums;
    }

    // eight lanes that read together find their quads in different banks
    private static int Place(int piece, int quad) => 8 * piece + ((quad + piece) & 7);

    // Bytes 0x80 + 8 n: the third byte of the float 16 + n.
    private static uint Nibbles(uint word, int high) => (high == 0 ? word << 3 : word >> 1) & 0x78787878u | 0x80808080u;

    private static F4 Add(F4 x, uint bytes, F4 sum)
    {
        sum.X += Interop.IntAsFloat(LinearOps.Permute(bytes, 0x41u, 0x4055u)) * x.X;
        sum.Y += Interop.IntAsFloat(LinearOps.Permute(bytes, 0x41u, 0x4155u)) * x.Y;
        sum.Z += Interop.IntAsFloat(LinearOps.Permute(bytes, 0x41u, 0x4255u)) * x.Z;
        sum.W += Interop.IntAsFloat(LinearOps.Permute(bytes, 0x41u, 0x4355u)) * x.W;
        return sum;
    }

    private static F4 Add(F4 products, float step, F4 total, float offset, F4 sum)
    {
        sum.X += products.X * step + total.X * offset;
        sum.Y += products.Y * step + total.Y * offset;
        sum.Z += products.Z * step + total.Z * offset;
        sum.W += products.W * step + total.W * offset;
        return sum;
    }

    // Of blocks 2 pair and 2 pair + 1, both at once: the step, and what to add for each activation.
    private static F4 Pair(U4 header, int pair)
    {
        int shift = (pair & 1) * 16;
        uint first = header.Y >> shift, middle = header.Z >> shift, last = header.W >> shift;
        uint steps = pair < 2 ? first & 0x3f3fu : last & 0x0f0fu | first >> 2 & 0x3030u;
        uint minima = pair < 2 ? middle & 0x3f3fu : last >> 4 & 0x0f0fu | middle >> 2 & 0x3030u;
        float scale = Ptx.HalfLow(header.X), minimum = Ptx.HalfHigh(header.X);
        F4 result;
        result.X = scale * (int)(steps & 255);
        result.Y = -(minimum * (int)(minima & 255) + LinearOps.NibbleBias * result.X);
        result.Z = scale * (int)(steps >> 8);
        result.W = -(minimum * (int)(minima >> 8) + LinearOps.NibbleBias * result.Z);
        return result;
    }

    // A constant index, once loops are unrolled.
    private static uint Part(U4 value, int index) => index == 0 ? value.X : index == 1 ? value.Y : index == 2 ? value.Z : value.W;
}
