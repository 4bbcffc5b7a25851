using ILGPU;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;

namespace IlgpuSparse.Compute.Gpu.Kernels;

/// <summary>Rows of the embedding matrix, decoded: one group a token. An id outside the table gives NaN, which no later result can hide.</summary>
internal static class EmbedKernel
{
    public const int GroupSize = 128;

    public static KernelVariant Variant(Type codec) => KernelVariant.Of(typeof(EmbedKernel), nameof(Run), GroupSize, codec);

    public static IEnumerable<KernelVariant> Variants => WeightCodecs.All.Select(format => Variant(WeightCodecs.Of(format)));

    public static void Run<TCodec>(ArrayView<ushort> table, ArrayView<int> ids, ArrayView<float> x, int vocabulary, int quads)
        where TCodec : struct, IWeightCodec
    {
        int row = Grid.IdxX;
        int id = ids[row];
        bool known = id >= 0 && id < vocabulary;
        var output = x.Cast<F4>();
        for (int quad = Group.IdxX; quad < quads; quad += Group.DimX)
        {
            F4 value;
            value.X = value.Y = value.Z = value.W = float.NaN;
            if (known) value = TCodec.Quad(table, (long)id * quads + quad);
            output[(long)row * quads + quad] = value;
        }
    }
}
