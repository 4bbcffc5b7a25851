using ILGPU;
using ILGPU.Runtime;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>The label cache on a GPU.</summary>
internal sealed class GpuLabels(GpuDevice device)
{
    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, LabelView labels, ArrayView<float> keys, int rows, int headDim, int laneShift, int isPrefill);

    private delegate void PrefillLauncher(AcceleratorStream stream, KernelConfig config, LabelView labels, ArrayView<float> keys, int rows, int headDim, int laneShift);

    /// <summary>Writes the labels of <paramref name="k"/> <c>[row, kvHead, headDim]</c> at each row's position.</summary>
    public void Append(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        var view = View(shape, labels, batch);
        if (labels.Channels > LabelAppendKernel.MaxChannels) throw new ArgumentException($"{labels.Channels} label channels, at most {LabelAppendKernel.MaxChannels} are supported", nameof(labels));
        int group = device.Kind == GpuKind.CpuAccelerator ? LabelAppendKernel.GroupSize / 4 : LabelAppendKernel.GroupSize;
        int laneShift = 0;
        // whole words, so that the codes of a group's items fit side by side
        while (1 << laneShift < Math.Min(Math.Max(labels.Channels, 32 / labels.Format.Bits()), group)) laneShift++;
        var keys = GpuBuffer.View<float>(k, (long)batch.Rows * shape.KvHeads * shape.HeadDim);
        if (batch.IsPrefill && batch.Rows >= LabelPrefillKernel.Tokens && view.Static != 0 && view.Planed == 0)
        {
            int many = LaunchShapes.Groups(LaunchShapes.Groups(batch.Rows, LabelPrefillKernel.Tokens) * (long)shape.KvHeads << laneShift, group);
            device.Kernels.Load<PrefillLauncher>(LabelPrefillKernel.Variant(labels.Format))(stream, new KernelConfig(many, group), view, keys, batch.Rows, shape.HeadDim, laneShift);
            return;
        }
        int groups = LaunchShapes.Groups((long)batch.Rows * shape.KvHeads << laneShift, group);
        device.Kernels.Load<Launcher>(LabelAppendKernel.Variant(labels.Format))(stream, new KernelConfig(groups, group), view, keys, batch.Rows, shape.HeadDim, laneShift, batch.IsPrefill ? 1 : 0);
    }

    /// <summary>The keys whose labels <paramref name="choice"/> lacks, as kernels that make them take them; none where all are there.</summary>
    public static ArrayView<float> Keys(LabelChoice choice, StepBatch batch) =>
        choice.Keys is { } keys ? GpuBuffer.View<float>(keys, (long)batch.Rows * choice.Shape.KvHeads * choice.Shape.HeadDim) : default;

    /// <summary>The kernels' argument for <paramref name="labels"/>.</summary>
    /// <exception cref="ArgumentException">The layer lacks what its scaling needs.</exception>
    public static LabelView View(AttentionShape shape, LabelLayer labels, StepBatch batch)
    {
        bool quantised = labels.Format != LabelFormat.F16;
        bool perToken = quantised && labels.Scaling == LabelScaling.PerToken, perChannel = quantised && !perToken;
        if (perToken && labels.TokenScales is null) throw new ArgumentException("labels with scales a token have no buffer for them", nameof(labels));
        if (perChannel && (labels.Offsets is null || labels.Steps is null)) throw new ArgumentException("labels with static scales have no offsets or steps", nameof(labels));
        if (labels.Planes is not null && (labels.Format != LabelFormat.Int1 || !perChannel || labels.QuantiserSteps is null))
            throw new ArgumentException($"bit planes are places of 1-bit labels with static scales and quantiser steps, not of {labels.Format}", nameof(labels));
        long channels = (long)shape.KvHeads * labels.Channels;
        return new LabelView
        {
            Codes = GpuBuffer.View<uint>(labels.Codes),
            TokenScales = GpuBuffer.View<uint>(perToken ? labels.TokenScales! : labels.Codes),
            Channels = GpuBuffer.View<int>(labels.ChannelIndices, channels),
            Offsets = GpuBuffer.View<float>(perChannel ? labels.Offsets! : labels.ChannelIndices, channels),
            Steps = GpuBuffer.View<float>(perChannel ? labels.Steps! : labels.ChannelIndices, channels),
            QuantiserSteps = GpuBuffer.View<float>(perChannel ? labels.QuantiserSteps ?? labels.Steps! : labels.ChannelIndices, channels),
            Planes = GpuBuffer.View<int>(labels.Planes ?? labels.ChannelIndices, channels),
            Positions = GpuBuffer.View<int>(batch.Positions, batch.Rows),
            BlockTable = GpuBuffer.View<int>(batch.BlockTable),
            KvHeads = shape.KvHeads,
            ChannelCount = labels.Channels,
            Words = labels.Words,
            MaxBlocks = batch.MaxBlocks,
            PerToken = perToken ? 1 : 0,
            Static = perChannel ? 1 : 0,
            Planed = labels.Planes is null ? 0 : 1,
        };
    }
}
