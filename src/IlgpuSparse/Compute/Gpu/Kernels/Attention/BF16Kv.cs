using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>bfloat16.</summary>
internal readonly struct BF16Kv : IKvCodec
{
    public static int Shift => 1;

    public static bool Scaled => false;

    public static void Decode(uint word, float scale, ArrayView<float> target, int at)
    {
        target[at] = Ptx.BrainLow(word);
        target[at + 1] = Ptx.BrainHigh(word);
    }

    public static uint Encode(ArrayView<float> source, long at, float inverse) => KvBits.Brains(source[at], source[at + 1]);
}
