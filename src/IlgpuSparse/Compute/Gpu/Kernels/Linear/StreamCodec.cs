using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>An <see cref="IStreamCodec"/> as launchers see it.</summary>
/// <param name="Type">The codec.</param>
/// <param name="Units">See <see cref="IStreamCodec.Units"/>.</param>
/// <param name="Quads">See <see cref="IStreamCodec.Quads"/>.</param>
internal sealed record StreamCodec(Type Type, int Units, int Quads)
{
    /// <summary>The codec of a format; null where <see cref="RowStreamKernel"/> has none.</summary>
    public static StreamCodec? Of(WeightFormat format) => format switch
    {
        WeightFormat.F16 => Describe<F16Stream>(),
        WeightFormat.Q8_0 => Describe<Q8_0Stream>(),
        _ => null,
    };

    /// <summary>Stages of a row.</summary>
    public int RowStages(int columns) => (columns / 4 + Quads - 1) / Quads;

    private static StreamCodec Describe<T>() where T : struct, IStreamCodec => new(typeof(T), T.Units, T.Quads);
}
