using System.Runtime.InteropServices;
using IlgpuSparse.Compute;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Attention;

/// <summary>A label cache with random keys of several sequences in scattered blocks, filled by a backend, and what it should hold.</summary>
internal sealed class LabelCase : IDisposable
{
    private readonly ComputeBackend _backend;
    private readonly float[][] _keys;
    private readonly int[][] _blocks;
    private readonly int _blockCount;
    private readonly float[] _offsets;
    private readonly float[] _steps;

    public LabelCase(ComputeBackend backend, Random random, AttentionShape shape, LabelFormat format, LabelScaling scaling, int channels, params int[] lengths)
    {
        _backend = backend;
        Shape = shape;
        Lengths = lengths;
        Channels = new int[shape.KvHeads][];
        var means = new float[shape.KvHeads * shape.HeadDim];
        var deviations = new float[means.Length];
        for (int i = 0; i < means.Length; i++)
        {
            means[i] = (float)Normal(random);
            deviations[i] = 0.2f + 2 * random.NextSingle();
        }
        _keys = [.. lengths.Select(length => Keys(random, length, means, deviations))];

        _offsets = new float[shape.KvHeads * channels];
        _steps = new float[_offsets.Length];
        var indices = new int[_offsets.Length];
        for (int head = 0; head < shape.KvHeads; head++)
        {
            Channels[head] = [.. Enumerable.Range(0, shape.HeadDim).OrderBy(_ => random.Next()).Take(channels)];
            for (int i = 0; i < channels; i++)
            {
                int c = head * shape.HeadDim + Channels[head][i];
                indices[head * channels + i] = Channels[head][i];
                _offsets[head * channels + i] = means[c];
                _steps[head * channels + i] = format == LabelFormat.F16 ? 1 : deviations[c] * format.GaussianStep();
            }
        }

        _blocks = [.. lengths.Select(length => new int[Math.Max(1, (length + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens)])];
        _blockCount = _blocks.Sum(b => b.Length) + 1;
        var order = new Queue<int>(Enumerable.Range(0, _blockCount).OrderBy(_ => random.Next()));
        foreach (int[] sequence in _blocks)
            for (int i = 0; i < sequence.Length; i++) sequence[i] = order.Dequeue();

        bool quantised = format != LabelFormat.F16;
        long tokens = (long)_blockCount * shape.KvHeads * KvLayer.BlockTokens;
        Layer = new LabelLayer
        {
            Format = format,
            Scaling = scaling,
            Channels = channels,
            ChannelIndices = Upload(indices),
            Offsets = quantised && scaling == LabelScaling.Static ? Upload(_offsets) : null,
            Steps = quantised && scaling == LabelScaling.Static ? Upload(_steps) : null,
            Codes = Noise(random, tokens * LabelLayer.WordsFor(format, channels) * sizeof(uint)),
            TokenScales = quantised && scaling == LabelScaling.PerToken ? Noise(random, tokens * sizeof(uint)) : null,
        };
    }

    public AttentionShape Shape { get; }

    public LabelLayer Layer { get; }

    public int[] Lengths { get; }

    /// <summary>Chosen channels by kv head.</summary>
    public int[][] Channels { get; }

    public string Description =>
        $"{Layer.Format} {Layer.Scaling}, r = {Layer.Channels}, {Shape.Heads}/{Shape.KvHeads} heads of {Shape.HeadDim}, window {Shape.Window}, lengths {string.Join(' ', Lengths)}";

    private bool IsPerToken => Layer.TokenScales is not null;

    /// <summary>A decode step at the last token of every sequence.</summary>
    public StepBatch LastTokens()
    {
        var batch = new StepBatch(_backend, Lengths.Length, Lengths.Length, _blocks.Max(b => b.Length) + 1);
        batch.SetDecode([.. Lengths.Select(length => length - 1)], _blocks);
        return batch;
    }

    /// <summary>Appends every token: chunks of random sizes, the last of each sequence first, then the remaining tokens one a step.</summary>
    public void Fill(Random random, Action<StepBatch, DeviceSpan> append)
    {
        int width = Shape.KvHeads * Shape.HeadDim;
        using var batch = new StepBatch(_backend, Math.Max(Lengths.Max(), Lengths.Length), Lengths.Length, _blocks.Max(b => b.Length) + 1);
        using var k = _backend.Allocate((long)Math.Max(Lengths.Max(), Lengths.Length) * width * sizeof(float), "test");
        int single = Math.Min(random.Next(4), Lengths.Min());
        for (int s = 0; s < Lengths.Length; s++)
        {
            for (int end = Lengths[s] - single; end > 0;)
            {
                int start = random.Next(3) == 0 ? 0 : random.Next(end);
                batch.SetPrefill(start, end - start, _blocks[s]);
                ((DeviceSpan)k).Upload<float>(_keys[s].AsSpan(start * width, (end - start) * width));
                append(batch, k);
                end = start;
            }
        }
        for (int i = 0; i < single; i++)
        {
            batch.SetDecode([.. Lengths.Select(length => length - single + i)], _blocks);
            for (int s = 0; s < Lengths.Length; s++) ((DeviceSpan)k).SkipFloats(s * width).Upload<float>(_keys[s].AsSpan((Lengths[s] - single + i) * width, width));
            append(batch, k);
        }
    }

    /// <summary>The stored words of a token.</summary>
    public uint[] Words(uint[] codes, int sequence, int token, int head)
    {
        int words = Layer.Words, inBlock = token % KvLayer.BlockTokens;
        long start = ((long)_blocks[sequence][token / KvLayer.BlockTokens] * Shape.KvHeads + head) * KvLayer.BlockTokens * words + inBlock / 16 * 16 * words + inBlock % 16;
        return [.. Enumerable.Range(0, words).Select(w => codes[start + 16 * w])];
    }

    /// <summary>Step and minimum stored for a token.</summary>
    public (Half Step, Half Minimum) Scales(uint[] scales, int sequence, int token, int head)
    {
        uint bits = scales[((long)_blocks[sequence][token / KvLayer.BlockTokens] * Shape.KvHeads + head) * KvLayer.BlockTokens + token % KvLayer.BlockTokens];
        return (BitConverter.UInt16BitsToHalf((ushort)bits), BitConverter.UInt16BitsToHalf((ushort)(bits >> 16)));
    }

    /// <summary>The chosen channels of a key, by rank.</summary>
    public float[] KeyChannels(int sequence, int token, int head) =>
        [.. Channels[head].Select(c => _keys[sequence][(token * Shape.KvHeads + head) * Shape.HeadDim + c])];

    /// <summary>Replaces a key.</summary>
    public void SetKey(int sequence, int token, int head, Func<int, float> value)
    {
        for (int c = 0; c < Shape.HeadDim; c++) _keys[sequence][(token * Shape.KvHeads + head) * Shape.HeadDim + c] = value(c);
    }

    public uint[] DownloadCodes() => Download(Layer.Codes);

    public uint[] DownloadScales() => Layer.TokenScales is { } scales ? Download(scales) : [];

    public float Offset(int head, int rank) => _offsets[head * Layer.Channels + rank];

    public float Step(int head, int rank) => _steps[head * Layer.Channels + rank];

    /// <summary>What the stored label of a token means by channel, and the largest number that this is computed from.</summary>
    public (double[] Values, double[] Magnitudes) Label(uint[] codes, uint[] scales, int sequence, int token, int head)
    {
        var words = Words(codes, sequence, token, head);
        var values = new double[Layer.Channels];
        var magnitudes = new double[Layer.Channels];
        for (int i = 0; i < values.Length; i++)
        {
            if (Layer.Format == LabelFormat.F16)
            {
                values[i] = (double)BitConverter.UInt16BitsToHalf((ushort)(words[i / 2] >> (i % 2 * 16)));
                magnitudes[i] = Math.Abs(values[i]);
                continue;
            }
            int code = ReferenceLabels.Unpack(words, Layer.Format, i), levels = ReferenceLabels.Levels(Layer.Format);
            if (IsPerToken)
            {
                var (step, minimum) = Scales(scales, sequence, token, head);
                values[i] = (double)minimum + (double)step * code;
                magnitudes[i] = Math.Abs((double)minimum) + (double)step * code;
            }
            else
            {
                values[i] = Step(head, i) * (code - (levels - 1) / 2.0);
                magnitudes[i] = Step(head, i) * (levels - 1) / 2.0;
            }
        }
        return (values, magnitudes);
    }

    public void Dispose() => Layer.Dispose();

    public static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private float[] Keys(Random random, int length, float[] means, float[] deviations)
    {
        var keys = new float[length * means.Length];
        for (int i = 0; i < keys.Length; i++) keys[i] = (float)(means[i % means.Length] + deviations[i % means.Length] * Normal(random));
        return keys;
    }

    private DeviceBuffer Upload<T>(T[] values) where T : unmanaged
    {
        var buffer = _backend.Allocate((long)values.Length * Marshal.SizeOf<T>(), "test");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }

    private DeviceBuffer Noise(Random random, long bytes)
    {
        var noise = new byte[bytes];
        random.NextBytes(noise);
        return Upload(noise);
    }

    private static uint[] Download(DeviceBuffer buffer) => ((DeviceSpan)buffer).ToArray<uint>((int)(buffer.ByteLength / sizeof(uint)));
}
