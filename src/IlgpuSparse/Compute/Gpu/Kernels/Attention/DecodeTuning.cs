namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>The launch choices of <see cref="TensorDecodeKernel"/> that only measuring decides.</summary>
/// <param name="Warps">Warps a group: 4 or 8.</param>
/// <param name="Stages">Tiles of 16 tokens in each warp's ring: 2 to 4 with 4 warps, 1 to 3 with 8.</param>
/// <param name="Waves">Groups asked for, in fills of the device.</param>
/// <param name="MinSplitTokens">Fewest tokens that are worth a split.</param>
/// <param name="LongWaves">Fills of the device where a group of a single one would have <see cref="LongTokens"/> or more: many small groups end sooner than the slowest of few large ones.</param>
internal readonly record struct DecodeTuning(int Warps, int Stages, int Waves, int MinSplitTokens, int LongWaves = 0)
{
    /// <summary>Tokens a group of one fill from which on <see cref="LongWaves"/> counts: 64K of 32 kv heads on an H100 are 7,943.</summary>
    public const int LongTokens = 6144;

    /// <summary>For dense decode.</summary>
    public static DecodeTuning Dense => new(Warps: 8, Stages: 2, Waves: 1, MinSplitTokens: 64, LongWaves: 8);

    /// <summary>For decode over selected tokens.</summary>
    public static DecodeTuning Selected => new(Warps: 8, Stages: 2, Waves: 1, MinSplitTokens: 64);

    /// <summary>This one with as many threads as a group of <paramref name="device"/> can have, and rings as large as there are kernels for: the CPU accelerator that tests use has 128.</summary>
    public DecodeTuning On(GpuDevice device) => device.MaxGroupSize < 32 * Warps ? this with { Warps = 4, Stages = Math.Min(2 * Stages, 3) } : this;

    /// <summary>What is worth timing on a new device.</summary>
    public static IReadOnlyList<DecodeTuning> Candidates { get; } =
    [
        .. from pipeline in new[] { (4, 2), (4, 3), (4, 4), (8, 2), (8, 3) }
           from waves in new[] { 1, 2, 4, 8 }
           select new DecodeTuning(pipeline.Item1, pipeline.Item2, waves, 64),
        new(4, 3, 1, 128),
        new(4, 3, 1, 256),
    ];

    /// <inheritdoc/>
    public override string ToString() => $"{Warps} warps x {Stages} tiles, {Waves} waves, {MinSplitTokens} tokens";

    /// <summary>The type that makes the pipeline a constant of the kernel.</summary>
    public Type Pipeline => (Warps, Stages) switch
    {
        (4, 2) => typeof(Pipeline4x2),
        (4, 3) => typeof(Pipeline4x3),
        (4, 4) => typeof(Pipeline4x4),
        (8, 1) => typeof(Pipeline8x1),
        (8, 2) => typeof(Pipeline8x2),
        (8, 3) => typeof(Pipeline8x3),
        _ => throw new ArgumentOutOfRangeException(nameof(Stages), $"no kernel with {Warps} warps of {Stages} stages"),
    };

    /// <summary>Fills of the device for groups that would have <paramref name="tokens"/> in a single one.</summary>
    public int WavesFor(long tokens) => LongWaves > 0 && tokens >= LongTokens ? LongWaves : Waves;

    /// <summary>The one for heads of <paramref name="channels"/> in <paramref name="format"/>: with smaller rings where this one's do not fit into <paramref name="sharedBytes"/>; null when none do.</summary>
    public DecodeTuning? For(KvFormat format, int channels, int sharedBytes)
    {
        for (int warps = Warps; warps >= 4; warps >>= 1)
        {
            for (int stages = Stages; stages >= 2; stages--)
            {
                int bytes = format switch
                {
                    KvFormat.F32 => F32DecodeKernel.SharedBytes(channels),
                    KvFormat.Int8 => TensorInt8Kernel.SharedBytes(channels, warps, stages),
                    _ => TensorDecodeKernel.SharedBytes(channels, warps, stages),
                };
                if (bytes <= sharedBytes) return this with { Warps = warps, Stages = stages };
            }
        }
        return null;
    }
}
