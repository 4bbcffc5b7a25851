using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// GGUF Q4_K, eight super-blocks a stage and one a segment; lane t of four has blocks 2t and 2t + 1, the low and the high nibbles of the same 32 bytes. A code times its block's scale of six bits is an integer that a
/// half holds exactly, so that only the super-block's scale remains for the products.
/// </summary>
internal readonly struct Q4_KStream : IStreamCodec
{
    public static int Depth => 3;

    public static bool StartsNextAtOnce => false;

    public static int Units => 72;

    public static int Quads => 512;

    public static bool HasOffsets => true;

    public static bool Crossed => true;

    public static int Place(int quad)
    {
        // bits of quad: stage, super-block (3), pair of blocks (2), member, word (3)
        int lane = (quad >> 6 & 7) * 4 + (quad >> 4 & 3);
        return (quad >> 9) * 512 + ((quad & 7) * 2 + (quad >> 3 & 1)) * 32 + lane;
    }

    public static StreamSums Multiply(ArrayView<U4> memory, int at, int x, int totals, int lane, StreamSums sums)
    {
        int t = lane & 3, block = at + (lane >> 2) * 9;
        var upperHeader = LinearOps.Load(ref memory[block], 0);
        var lowerHeader = LinearOps.Load(ref memory[block], 1152);
        uint upperSteps = Steps(upperHeader, t), lowerSteps = Steps(lowerHeader, t);
        U4 upperScales = Scales(upperSteps), lowerScales = Scales(lowerSteps);
        F4 products = default, rests = default;
        for (int half = 0; half < 2; half++)
        {
            var first = LinearOps.Load(ref memory[block + 2 * t], 16 + half * 16);
            var second = LinearOps.Load(ref memory[block + 2 * t], 1168 + half * 16);
            for (int word = 0; word < 4; word++)
            {
                uint a = Part(first, word), b = Part(second, word), nextA = a >> 8, nextB = b >> 8;
                // 0x6400 + n is the half 1024 + n, 0x6400 + 16 n the half 1024 + 16 n
                U4 low, high;
                low.X = LinearOps.MultiplyAddHalves(a & 0x000f000fu | 0x64006400u, upperScales.X, upperScales.Y);
                low.Z = LinearOps.MultiplyAddHalves(nextA & 0x000f000fu | 0x64006400u, upperScales.X, upperScales.Y);
                low.Y = LinearOps.MultiplyAddHalves(b & 0x000f000fu | 0x64006400u, lowerScales.X, lowerScales.Y);
                low.W = LinearOps.MultiplyAddHalves(nextB & 0x000f000fu | 0x64006400u, lowerScales.X, lowerScales.Y);
                high.X = LinearOps.MultiplyAddHalves(a & 0x00f000f0u | 0x64006400u, upperScales.Z, upperScales.W);
                high.Z = LinearOps.MultiplyAddHalves(nextA & 0x00f000f0u | 0x64006400u, upperScales.Z, upperScales.W);
                high.Y = LinearOps.MultiplyAddHalves(b & 0x00f000f0u | 0x64006400u, lowerScales.Z, lowerScales.W);
                high.W = LinearOps.MultiplyAddHalves(nextB & 0x00f000f0u | 0x64006400u, lowerScales.Z, lowerScales.W);
                U4 lowX = LinearOps.Load(ref memory[x + lane], (half * 4 + word) * 1024), highX = LinearOps.Load(ref memory[x + lane], (half * 4 + word) * 1024 + 512);
                products = TensorOps.MultiplyHalf(low, new U2 { X = lowX.X, Y = lowX.Y }, products);
                rests = TensorOps.MultiplyHalf(low, new U2 { X = lowX.Z, Y = lowX.W }, rests);
                products = TensorOps.MultiplyHalf(high, new U2 { X = highX.X, Y = highX.Y }, products);
                rests = TensorOps.MultiplyHalf(high, new U2 { X = highX.Z, Y = highX.W }, rests);
            }
        }
        float upperScale = Ptx.HalfLow(upperHeader.X), lowerScale = Ptx.HalfLow(lowerHeader.X);
        sums.Products.X += upperScale * (products.X + rests.X);
        sums.Products.Y += upperScale * (products.Y + rests.Y);
        sums.Products.Z += lowerScale * (products.Z + rests.Z);
        sums.Products.W += lowerScale * (products.W + rests.W);
        var total = memory.Cast<F2>()[totals + lane];
        sums.Upper -= Ptx.HalfHigh(upperHeader.X) * Minimum(upperHeader, t, total);
        sums.Lower -= Ptx.HalfHigh(lowerHeader.X) * Minimum(lowerHeader, t, total);
        return sums;
    }

    // The six-bit scales of blocks 2t and 2t + 1, a byte each: whole in the first words, for the last four blocks in parts.
    private static uint Steps(U4 header, int t)
    {
        int shift = (t & 1) * 16;
        uint parts = (uint)-(t >> 1) & 0x0f0fu;
        return header.Y >> shift + (t & 2) & (0x3f3fu ^ parts) | header.W >> shift & parts;
    }

    // As Steps with the minima, times the blocks' sums of activations.
    private static float Minimum(U4 header, int t, F2 total)
    {
        int shift = (t & 1) * 16;
        uint parts = (uint)-(t >> 1) & 0x0f0fu;
        uint minima = header.Z >> shift + (t & 2) & (0x3f3fu ^ parts) | header.W >> shift + 4 & parts;
        return (int)(minima & 255) * total.X + (int)(minima >> 8) * total.Y;
    }

    // Factor and summand that make code · scale of 1024 + n, and of 1024 + 16 n.
    private static U4 Scales(uint steps)
    {
        U4 result;
        uint high = LinearOps.SubtractHalves(LinearOps.Permute(steps, 0x64646464u, 0x4141u), 0x64006400u);
        result.X = LinearOps.SubtractHalves(LinearOps.Permute(steps, 0x64646464u, 0x4040u), 0x64006400u);
        result.Y = LinearOps.MultiplyHalves(result.X, 0xe400e400u); // -1024
        result.Z = LinearOps.MultiplyHalves(high, 0x2c002c00u); // 1/16
        result.W = LinearOps.MultiplyHalves(high, 0xd400d400u); // -64
        return result;
    }

    // A constant index, once loops are unrolled.
    private static uint Part(U4 value, int index) => index == 0 ? value.X : index == 1 ? value.Y : index == 2 ? value.Z : value.W;
}
