using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Single precision.</summary>
internal readonly struct F32Kv : IKvCodec
{
    public static int Shift => 0;

    public static bool Scaled => false;

    public static void Decode(uint word, float scale, ArrayView<float> target, int at) => target[at] = Interop.IntAsFloat(word);

    public static uint Encode(ArrayView<float> source, long at, float inverse) => Interop.FloatAsInt(source[at]);
}
