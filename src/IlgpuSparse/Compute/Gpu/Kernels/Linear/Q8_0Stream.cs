using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q8_0, 32 blocks of 34 bytes a stage: segment g has blocks g, g + 8, g + 16 and g + 24, lane t of four the codes 8t to 8t + 7 of each.</summary>
internal readonly struct Q8_0Stream : IStreamCodec
{
    public static int Units => 68;

    public static int Quads => 256;

    public static F4 Multiply(ArrayView<U4> memory, int at, int x, int scales, int lane, F4 sums)
    {
        var halves = memory.Cast<ushort>();
        var words = memory.Cast<uint>();
        int g = lane >> 2, t = lane & 3;
        // every other block's codes begin in the middle of a word
        uint aligned = (g & 1) == 0 ? 0x5432u : 0x3210u;
        int codes = at * 4 + (17 * g + 1 + 4 * t >> 1), scale = at * 8 + 17 * g;
        for (int step = 0; step < 4; step++)
        {
            U2 a = Codes(words, codes, step * 272, aligned), b = Codes(words, codes, step * 272 + 1088, aligned);
            U4 first, second;
            first.X = LinearOps.LowHalves(a.X, 0x64806480u);
            first.Z = LinearOps.HighHalves(a.X, 0x64806480u);
            first.Y = LinearOps.LowHalves(b.X, 0x64806480u);
            first.W = LinearOps.HighHalves(b.X, 0x64806480u);
            second.X = LinearOps.LowHalves(a.Y, 0x64806480u);
            second.Z = LinearOps.HighHalves(a.Y, 0x64806480u);
            second.Y = LinearOps.LowHalves(b.Y, 0x64806480u);
            second.W = LinearOps.HighHalves(b.Y, 0x64806480u);
            U4 firstX = LinearOps.Load(ref memory[x + lane], step * 1024), secondX = LinearOps.Load(ref memory[x + lane], step * 1024 + 512);
            var products = TensorOps.MultiplyHalf(first, new U2 { X = firstX.X, Y = firstX.Y }, default);
            var rests = TensorOps.MultiplyHalf(first, new U2 { X = firstX.Z, Y = firstX.W }, default);
            products = TensorOps.MultiplyHalf(second, new U2 { X = secondX.X, Y = secondX.Y }, products);
            rests = TensorOps.MultiplyHalf(second, new U2 { X = secondX.Z, Y = secondX.W }, rests);
            float unit = memory.Cast<float>()[scales + step];
            float upperScale = unit * Ptx.HalfLow(LinearOps.Load(ref halves[scale], step * 272)), lowerScale = unit * Ptx.HalfLow(LinearOps.Load(ref halves[scale], step * 272 + 1088));
            sums.X += upperScale * (products.X + rests.X);
            sums.Y += upperScale * (products.Y + rests.Y);
            sums.Z += lowerScale * (products.Z + rests.Z);
            sums.W += lowerScale * (products.W + rests.W);
        }
        return sums;
    }

    // Eight codes, plus 128 each, that begin in a word or in its middle.
    private static U2 Codes(ArrayView<uint> words, int word, int distance, uint aligned)
    {
        uint first = LinearOps.Load(ref words[word], distance), second = LinearOps.Load(ref words[word], distance + 4), third = LinearOps.Load(ref words[word], distance + 8);
        U2 result;
        result.X = LinearOps.Permute(first, second, aligned) ^ 0x80808080u;
        result.Y = LinearOps.Permute(second, third, aligned) ^ 0x80808080u;
        return result;
    }
}
