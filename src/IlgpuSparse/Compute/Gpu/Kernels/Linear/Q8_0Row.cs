using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// GGUF Q8_0: blocks of 34 bytes do not end where pieces do. The activations lie in shared memory as the row's bytes do, with zeros where the row has scales, so that a piece multiplies all of its
/// 16 bytes; what it has of one block and what of the next is scaled apart.
/// </summary>
internal readonly struct Q8_0Row : IRowCodec
{
    public static int Depth => 3;

    public static int Quads => 4;

    public static bool Scaled => true;

    public static int Pieces(LinearArgs args) => args.RowUnits >> 3;

    // through the first-level cache, where the scales of other lanes' pieces are found
    public static U4 Codes(long row, int piece, int wanted, ulong policy) => LinearOps.LoadShared(row + piece * 16L, wanted, policy);

    public static U4 Scales(long row, int piece, int wanted, ulong policy)
    {
        int block = Block(piece);
        U4 result = default;
        result.X = LinearOps.LoadHalf(row + block * 34L, wanted, policy);
        // a block that begins in this piece
        result.Y = LinearOps.LoadHalf(row + block * 34L + 34, wanted & (34 * block + 34 - 16 * piece - 16) >> 31, policy);
        return result;
    }

    public static void Place(ArrayView<U4> memory, int quad, int quads, F4 value)
    {
        var pairs = memory.Cast<F2>();
        if (quad < quads)
        {
            int unit = 17 * (quad >> 3) + 1 + 2 * (quad & 7);
            pairs[Pair(unit)] = new F2 { X = value.X, Y = value.Y };
            pairs[Pair(unit + 1)] = new F2 { X = value.Z, Y = value.W };
            if ((quad & 7) == 0) pairs[Pair(unit - 1)] = default;
        }
        else if (2 * quad >= 17 * (quads >> 3))
        {
            // past the row, where the last step may still read
            pairs[Pair(2 * quad)] = default;
            pairs[Pair(2 * quad + 1)] = default;
        }
    }

    public static RowSums Add(ArrayView<U4> memory, int piece, U4 upper, U4 upperScales, U4 lower, U4 lowerScales, RowSums sums)
    {
        var activations = memory.Cast<F4>();
        // the first unit of two bytes that belongs to the next block
        int next = 17 * Block(piece) + 17 - 8 * piece;
        float upperScale = Ptx.HalfLow(upperScales.X), upperNext = Ptx.HalfLow(upperScales.Y), lowerScale = Ptx.HalfLow(lowerScales.X), lowerNext = Ptx.HalfLow(lowerScales.Y);
        for (int word = 0; word < 4; word++)
        {
            var x = activations[Place(piece, word)];
            bool first = 2 * word < next, second = 2 * word + 1 < next;
            sums.Upper = Add(x, Part(upper, word), first ? upperScale : upperNext, second ? upperScale : upperNext, sums.Upper);
            sums.Lower = Add(x, Part(lower, word), first ? lowerScale : lowerNext, second ? lowerScale : lowerNext, sums.Lower);
        }
        return sums;
    }

    // The block of the piece's first byte.
    private static int Block(int piece) => piece * 8 / 17;

    // eight lanes that read together find their quads in different banks
    private static int Place(int piece, int quad) => 4 * piece + ((quad + (piece >> 1)) & 3);

    private static int Pair(int unit) => 2 * Place(unit >> 3, unit >> 1 & 3) + (unit & 1);

    private static F4 Add(F4 x, uint codes, float first, float second, F4 sum)
    {
        uint bytes = codes ^ 0x80808080u, low = LinearOps.LowHalves(bytes, 0x64806480u), high = LinearOps.HighHalves(bytes, 0x64806480u);
        sum.X += (Ptx.HalfLow(low) * x.X + Ptx.HalfHigh(low) * x.Y) * first;
        sum.Y += (Ptx.HalfLow(high) * x.Z + Ptx.HalfHigh(high) * x.W) * second;
        return sum;
    }

    // A constant index, once loops are unrolled.
    private static uint Part(U4 value, int index) => index == 0 ? value.X : index == 1 ? value.Y : index == 2 ? value.Z : value.W;
}
