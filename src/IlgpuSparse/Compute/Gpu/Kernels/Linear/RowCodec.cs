using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>An <see cref="IRowCodec"/> as launchers see it.</summary>
/// <param name="Type">The codec.</param>
/// <param name="Depth">See <see cref="IRowCodec.Depth"/>.</param>
/// <param name="Quads">See <see cref="IRowCodec.Quads"/>.</param>
/// <param name="PieceColumns">Columns a piece; for <see cref="WeightFormat.Q8_0"/> pieces are counted by bytes.</param>
internal sealed record RowCodec(Type Type, int Depth, int Quads, int PieceColumns)
{
    /// <summary>The codec of a format; null where <see cref="LinearRowKernel"/> has none.</summary>
    public static RowCodec? Of(WeightFormat format) => format switch
    {
        WeightFormat.F16 => Describe<SixteenBitRow<TensorF16>>(8),
        WeightFormat.BF16 => Describe<SixteenBitRow<TensorBF16>>(8),
        WeightFormat.Q8_0 => Describe<Q8_0Row>(0),
        WeightFormat.Q4_K => Describe<Q4_KRow>(32),
        _ => null,
    };

    /// <summary>Steps of 32 pieces of a row, a multiple of <see cref="Depth"/>.</summary>
    public int Steps(int columns, long rowBytes)
    {
        long pieces = PieceColumns == 0 ? rowBytes / 16 : columns / PieceColumns;
        return (int)((pieces + 32 * Depth - 1) / (32 * Depth)) * Depth;
    }

    private static RowCodec Describe<T>(int pieceColumns) where T : struct, IRowCodec => new(typeof(T), T.Depth, T.Quads, pieceColumns);
}
