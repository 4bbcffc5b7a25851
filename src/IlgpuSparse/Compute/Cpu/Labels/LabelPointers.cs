namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>A <see cref="LabelLayer"/> as the addresses and sizes that kernels need.</summary>
internal readonly unsafe struct LabelPointers
{
    public LabelPointers(LabelLayer labels, AttentionShape shape)
    {
        Format = labels.Format;
        Bits = labels.Format.Bits();
        Channels = labels.Channels;
        Words = labels.Words;
        KvHeads = shape.KvHeads;
        IsPerToken = labels.Scaling == LabelScaling.PerToken && labels.Format != LabelFormat.F16;
        IsStatic = labels.Scaling == LabelScaling.Static && labels.Format != LabelFormat.F16;
        Indices = Table<int>(labels.ChannelIndices, "channel indices");
        if (IsStatic)
        {
            Offsets = Table<float>(labels.Offsets, "offsets");
            Steps = QuantiserSteps = Table<float>(labels.Steps, "steps");
            if (labels.Planes is not null)
            {
                if (Bits != 1) throw new ArgumentException($"bit planes are places of 1-bit labels, not of {Format}", nameof(labels));
                Planes = Table<int>(labels.Planes, "planes");
                QuantiserSteps = Table<float>(labels.QuantiserSteps, "quantiser steps");
            }
        }
        Codes = CpuBuffer.Pointer<uint>(labels.Codes);
        if (IsPerToken) TokenScales = CpuBuffer.Pointer<uint>(labels.TokenScales ?? throw new ArgumentException("labels with per-token scales need room for them", nameof(labels)));
    }

    public readonly LabelFormat Format;
    public readonly bool IsPerToken, IsStatic;
    public readonly int Bits, Channels, Words, KvHeads;

    /// <summary><c>[kvHead, r]</c>.</summary>
    public readonly int* Indices;

    /// <summary><c>[kvHead, r]</c>; null unless static.</summary>
    public readonly float* Offsets, Steps, QuantiserSteps;

    /// <summary><c>[kvHead, r]</c>; null where every place is a whole code.</summary>
    public readonly int* Planes;

    /// <summary>All packed codes.</summary>
    public readonly uint* Codes;

    /// <summary>All token scales; null unless per token.</summary>
    public readonly uint* TokenScales;

    /// <summary>Codes of the tiles of (<paramref name="block"/>, <paramref name="head"/>).</summary>
    public uint* Block(int block, int head) => Codes + ((long)block * KvHeads + head) * KvLayer.BlockTokens * Words;

    /// <summary>Token scales of (<paramref name="block"/>, <paramref name="head"/>).</summary>
    public uint* BlockScales(int block, int head) => TokenScales + ((long)block * KvHeads + head) * KvLayer.BlockTokens;

    private T* Table<T>(DeviceBuffer? buffer, string what) where T : unmanaged
    {
        if (buffer is null || buffer.ByteLength < (long)KvHeads * Channels * sizeof(T))
            throw new ArgumentException($"{Format} labels of {Channels} channels and {KvHeads} kv heads need {KvHeads * Channels} {what}, there are {(buffer?.ByteLength ?? 0) / sizeof(T)}");
        return CpuBuffer.Pointer<T>(buffer);
    }
}
