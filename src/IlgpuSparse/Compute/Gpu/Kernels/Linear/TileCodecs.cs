using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>The codecs of <see cref="LinearKernel"/>.</summary>
internal static class TileCodecs
{
    /// <summary>Most eight-column tiles of activations.</summary>
    public const int MaxTiles = 4;

    private static readonly TileCodec?[] All = [.. Enum.GetValues<WeightFormat>().Select(Make)];

    /// <summary>The codec of a format; null for F32, which has no exact 16-bit form.</summary>
    public static TileCodec? Of(WeightFormat format) => All[(int)format];

    private static TileCodec? Make(WeightFormat format) => format switch
    {
        WeightFormat.F16 => Describe<F16Tile>(typeof(TensorF16)),
        WeightFormat.BF16 => Describe<BF16Tile>(typeof(TensorBF16)),
        WeightFormat.Q8_0 => Describe<Q8_0Tile>(typeof(TensorF16)),
        WeightFormat.Q4_0 => Describe<Q4_0Tile>(typeof(TensorF16)),
        WeightFormat.Q4_1 => Describe<Q4_1Tile>(typeof(TensorF16)),
        WeightFormat.Q4_K => Describe<Q4_KTile>(typeof(TensorF16)),
        WeightFormat.Q5_K => Describe<Q5_KTile>(typeof(TensorF16)),
        WeightFormat.Q6_K => Describe<Q6_KTile>(typeof(TensorF16)),
        _ => null,
    };

    private static TileCodec Describe<T>(Type element) where T : struct, ITileCodec => new(typeof(T), element, T.Runs, T.Units, T.Limbs, T.Aligned, T.Scaled, T.Stages * LinearKernel.TileRows * T.Slot);
}
