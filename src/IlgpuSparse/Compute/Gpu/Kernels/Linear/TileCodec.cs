namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>A <see cref="ITileCodec"/> as launchers see it.</summary>
/// <param name="Type">The codec.</param>
/// <param name="Element">What its numbers become.</param>
/// <param name="Runs">See <see cref="ITileCodec.Runs"/>.</param>
/// <param name="Units">See <see cref="ITileCodec.Units"/>.</param>
/// <param name="Limbs">See <see cref="ITileCodec.Limbs"/>.</param>
/// <param name="Aligned">See <see cref="ITileCodec.Aligned"/>.</param>
/// <param name="Scaled">See <see cref="ITileCodec.Scaled"/>.</param>
/// <param name="RingUnits">16-byte units of a warp's ring.</param>
internal sealed record TileCodec(Type Type, Type Element, int Runs, int Units, int Limbs, bool Aligned, bool Scaled, int RingUnits)
{
    /// <summary>Numbers of a row's stage.</summary>
    public int StageColumns => Runs * 32;

    /// <summary>Stages of a row of <paramref name="columns"/> numbers.</summary>
    public int RowStages(int columns) => (columns + StageColumns - 1) / StageColumns;
}
