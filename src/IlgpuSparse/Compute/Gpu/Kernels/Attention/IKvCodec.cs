using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>A storage format of K and V in 32-bit words, with integer arithmetic that every accelerator has.</summary>
internal interface IKvCodec
{
    /// <summary>log2 of the numbers a word.</summary>
    static abstract int Shift { get; }

    /// <summary>Whether each token and kv head has a scale.</summary>
    static abstract bool Scaled { get; }

    /// <summary>Writes a word's numbers, times <paramref name="scale"/> where there is one, from <paramref name="at"/>.</summary>
    static abstract void Decode(uint word, float scale, ArrayView<float> target, int at);

    /// <summary>The word of the numbers from <paramref name="at"/>; <paramref name="inverse"/> is one over the scale.</summary>
    static abstract uint Encode(ArrayView<float> source, long at, float inverse);
}
