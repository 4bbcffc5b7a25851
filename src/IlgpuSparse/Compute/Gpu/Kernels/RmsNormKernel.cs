using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>y = x / sqrt(mean(x²) + ε) · weight: one group a row.</summary>
internal static class RmsNormKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant(Type codec) => KernelVariant.Of(typeof(RmsNormKernel), nameof(Run), GroupSize, codec);

    public static IEnumerable<KernelVariant> Variants => WeightCodecs.Plain.Select(format => Variant(WeightCodecs.Of(format)));

    public static void Run<TCodec>(ArrayView<float> x, ArrayView<ushort> weight, ArrayView<float> y, int quads, float epsilon)
        where TCodec : struct, IWeightCodec
    {
        var shared = SharedMemory.Allocate<float>(GroupSize);
        var inputs = x.Cast<F4>();
        var outputs = y.Cast<F4>();
        long row = (long)Grid.IdxX * quads;
        float sum = 0f;
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            var v = inputs[row + quad];
            sum += v.X * v.X + v.Y * v.Y + (v.Z * v.Z + v.W * v.W);
        }
        shared[Group.IdxX] = sum;
        Group.Barrier();
        GroupSums.Fold(shared, 1, GroupSize);
        float scale = Ptx.Rsqrt(GroupSums.Total(shared, 0) / (quads * 4f) + epsilon);
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            var v = inputs[row + quad];
            var w = TCodec.Quad(weight, quad);
            v.X *= scale * w.X;
            v.Y *= scale * w.Y;
            v.Z *= scale * w.Z;
            v.W *= scale * w.W;
            outputs[row + quad] = v;
        }
    }
}
