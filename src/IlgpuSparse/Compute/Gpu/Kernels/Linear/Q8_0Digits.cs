using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>GGUF Q8_0, four blocks of 34 bytes a half: codes as they are stored, a scale for each block's integer sum.</summary>
internal readonly struct Q8_0Digits : IDigitCodec
{
    /// <summary>2^23 + 2^22 as the bits of a float: plus an integer of up to 22 bits they are those of the float of the sum.</summary>
    private const int MagicBits = 0x4b400000;
    private const float Magic = 12_582_912f;

    public static int Units => 17;

    public static int Stride => 18;

    public static int Octs => 32;

    public static int Bits => 29;

    public static int Shift => 0;

    public static bool HasOffsets => false;

    public static float Multiply(ArrayView<U4> memory, int at, int x, int totals, int scales, int lane, float sum)
    {
        int g = lane >> 2, t = lane & 3, half = t >> 1, row = at + g * 18, word = row * 4 + 2 * t, pair = row * 2 + t;
        var words = memory.Cast<uint>();
        var pairs = memory.Cast<U2>();
        var halves = memory.Cast<ushort>();
        int scale = row * 8 + half * 68, activations = x + (g >> 2) * 32;
        var digits = LinearOps.Load(ref memory[activations + ((g & 3) * 4 + t)], 0);
        // every other block's codes begin in the middle of a word
        U2 a = Halved(LinearOps.Load(ref pairs[pair], 0), LinearOps.Load(ref words[word], 8)), b = Halved(LinearOps.Load(ref pairs[pair], 136), LinearOps.Load(ref words[word], 144));
        float own = Ptx.HalfLow(LinearOps.Load(ref halves[scale], 0)) * Product(a, b, digits.X, digits.Y, half);
        a.X = LinearOps.Load(ref words[word], 36);
        a.Y = LinearOps.Load(ref words[word], 40);
        b.X = LinearOps.Load(ref words[word], 172);
        b.Y = LinearOps.Load(ref words[word], 176);
        own += Ptx.HalfLow(LinearOps.Load(ref halves[scale], 34)) * Product(a, b, digits.Z, digits.W, half);
        digits = LinearOps.Load(ref memory[activations + ((g & 3) * 4 + t ^ 4)], 256);
        a = Halved(LinearOps.Load(ref words[word], 68), LinearOps.Load(ref pairs[pair], 72));
        b = Halved(LinearOps.Load(ref words[word], 204), LinearOps.Load(ref pairs[pair], 208));
        own += Ptx.HalfLow(LinearOps.Load(ref halves[scale], 68)) * Product(a, b, digits.X, digits.Y, half);
        a = LinearOps.Load(ref pairs[pair], 104);
        b = LinearOps.Load(ref pairs[pair], 240);
        own += Ptx.HalfLow(LinearOps.Load(ref halves[scale], 102)) * Product(a, b, digits.Z, digits.W, half);
        return sum + memory.Cast<float>()[scales] * own;
    }

    // The lane's two digits of a block: at most 32 · 128 · 128 each.
    private static float Product(U2 a, U2 b, uint first, uint last, int half)
    {
        I4 start;
        start.X = start.Y = start.Z = start.W = MagicBits;
        var product = TensorCore.MultiplySigned(new U4 { X = a.X, Y = b.X, Z = a.Y, W = b.Y }, new U2 { X = first, Y = last }, start);
        float low = Interop.IntAsFloat((uint)RowDigitKernel.Own(product.X, product.Z, half)) - Magic, high = Interop.IntAsFloat((uint)RowDigitKernel.Own(product.Y, product.W, half)) - Magic;
        return low + 256f * high;
    }

    private static U2 Halved(U2 before, uint after)
    {
        U2 result;
        result.X = LinearOps.Permute(before.X, before.Y, 0x5432u);
        result.Y = LinearOps.Permute(before.Y, after, 0x5432u);
        return result;
    }

    private static U2 Halved(uint before, U2 after)
    {
        U2 result;
        result.X = LinearOps.Permute(before, after.X, 0x5432u);
        result.Y = LinearOps.Permute(after.X, after.Y, 0x5432u);
        return result;
    }
}
