using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Half precision.</summary>
internal readonly struct F16Kv : IKvCodec
{
    public static int Shift => 1;

    public static bool Scaled => false;

    public static void Decode(uint word, float scale, ArrayView<float> target, int at)
    {
        target[at] = Ptx.HalfLow(word);
        target[at + 1] = Ptx.HalfHigh(word);
    }

    public static uint Encode(ArrayView<float> source, long at, float inverse) => KvBits.Halves(source[at], source[at + 1]);
}
