using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Approximate logits on a GPU.</summary>
internal sealed class GpuScore(GpuDevice device)
{
    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own);

    private delegate void PortableLauncher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score);

    /// <summary>Scores of every visible token, as <see cref="ComputeBackend.Score"/>.</summary>
    public void Run(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        var view = GpuLabels.View(shape, labels, batch);
        var score = View(shape, labels, batch, q, reduction, scores);
        if (TakesTensorCores(device, labels, score)) Launch(view, score, new SelectView { Positions = view.Positions, Scores = score.Scores }, labels.Format, batch, scores.Sets, ScoreKernel.ScoresOnly, default, default, stream);
        else
        {
            int group = device.Kind == GpuKind.CpuAccelerator ? 32 : ScorePortableKernel.GroupSize;
            device.Kernels.Load<PortableLauncher>(ScorePortableKernel.Variant(labels.Format))(stream,
                new KernelConfig(new Index3D(LaunchShapes.Groups(batch.GridLength, group), scores.Sets, batch.Rows), new Index3D(group, 1, 1)), view, score);
        }
    }

    /// <summary>Whether <see cref="ScoreKernel"/> takes these labels and queries on <paramref name="device"/>.</summary>
    public static bool TakesTensorCores(GpuDevice device, LabelLayer labels, ScoreView score) =>
        device.IsCuda && labels.Channels <= ScoreKernel.MaxChannels && (score.Sum != 0 || score.HeadsPerSet <= ScoreKernel.MaxHeads);

    /// <summary>Launches <see cref="ScoreKernel"/>; <paramref name="mode"/> is one of its constants, and <paramref name="keys"/> and <paramref name="own"/> are what it appends.</summary>
    public void Launch(LabelView labels, ScoreView score, SelectView select, LabelFormat format, StepBatch batch, int sets, int mode, ArrayView<float> keys, OwnRowView own, AcceleratorStream stream)
    {
        int tiles = ScoreKernel.Tiles(score.Sum != 0 ? 1 : score.HeadsPerSet);
        int laneWords = ScoreKernel.LaneWords(format, labels.ChannelCount), units = ScoreKernel.Units(format, mode, laneWords, tiles);
        int group = ScoreKernel.GroupSize(mode);
        // what a window leaves is scored from a multiple of a warp's units on
        bool narrow = ScoreKernel.IsNarrow(format, labels.ChannelCount, tiles);
        int unit = units * ScoreKernel.TokensOf(narrow), span = score.Window > 0 ? Math.Min(batch.GridLength, score.Window + unit - 1) : batch.GridLength;
        score.ChunkTokens = ScoreKernel.ChunkTokens(mode, group / 32 * unit, (long)span * sets * batch.Rows, device.Multiprocessors);
        device.Kernels.Load<Launcher>(ScoreKernel.Variant(format, laneWords, units, tiles, mode, narrow))(stream,
            new KernelConfig(new Index3D(LaunchShapes.Groups(span, score.ChunkTokens), sets, batch.Rows), new Index3D(group, 1, 1)), labels, score, select, keys, own);
    }

    /// <summary>The kernels' argument for queries and scores; <see cref="ScoreView.ChunkTokens"/> is the launch's.</summary>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static ScoreView View(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan q, GroupReduction reduction, TokenScores scores)
    {
        if (batch.IsPrefill) throw new ArgumentException("scores are of decode batches only", nameof(batch));
        if (scores.Sets != shape.KvHeads && scores.Sets != shape.Heads)
            throw new ArgumentException($"{scores.Sets} sets a row; {shape.KvHeads} kv heads or {shape.Heads} heads are possible", nameof(scores));
        if (batch.MaxLength > scores.Capacity) throw new ArgumentException($"{batch.MaxLength} tokens, but room for {scores.Capacity} scores a set", nameof(scores));
        if (labels.Channels > ScorePortableKernel.MaxChannels) throw new ArgumentException($"{labels.Channels} label channels, at most {ScorePortableKernel.MaxChannels} are supported", nameof(labels));
        int headsPerSet = shape.Heads / scores.Sets;
        return new ScoreView
        {
            Queries = GpuBuffer.View<float>(q, (long)batch.Rows * shape.Heads * shape.HeadDim),
            Scores = GpuBuffer.View<float>(scores.Buffer, (long)batch.Rows * scores.Sets * scores.Capacity),
            Heads = shape.Heads,
            GroupSize = shape.GroupSize,
            HeadsPerSet = headsPerSet,
            HeadDim = shape.HeadDim,
            Window = shape.Window,
            Capacity = scores.Capacity,
            Sum = reduction == GroupReduction.Sum && headsPerSet > 1 ? 1 : 0,
            Scale = shape.Scale,
        };
    }
}
