using IlgpuSparse.Compute;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Attention;

/// <summary>What a backend writes into the label cache, against the quantiser in double precision.</summary>
public abstract class LabelCacheTests
{
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    protected LabelCacheTests() => _random = new Random(_seed);

    public static TheoryData<LabelFormat, LabelScaling> Forms => [.. from f in Enum.GetValues<LabelFormat>() from s in Enum.GetValues<LabelScaling>() select (f, s)];

    protected abstract ComputeBackend Backend { get; }

    /// <summary>Longest sequence of the random cases.</summary>
    protected virtual int Longest => 700;

    /// <summary>The operation under test.</summary>
    protected virtual void Append(AttentionShape shape, LabelLayer labels, StepBatch batch, DeviceSpan k) => Backend.AppendLabels(shape, labels, batch, k);

    [Theory]
    [MemberData(nameof(Forms))]
    public void CodesAreTheReferenceQuantisers(LabelFormat format, LabelScaling scaling)
    {
        foreach (int channels in (int[])[1, 7, 16, 33, 64, 100])
        {
            int headDim = new[] { 64, 80, 96, 128, 256 }.Where(d => d >= channels).ElementAt(_random.Next(channels > 96 ? 2 : channels > 64 ? 3 : 5));
            var shape = new AttentionShape(4, new[] { 1, 2, 4 }[_random.Next(3)], headDim);
            using var labels = new LabelCase(Backend, _random, shape, format, scaling, channels, _random.Next(1, Longest), _random.Next(1, 40));
            Check(labels);
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void ExtremeKeys(LabelFormat format, LabelScaling scaling)
    {
        using var labels = new LabelCase(Backend, _random, new AttentionShape(2, 2, 64), format, scaling, 20, 30);
        for (int head = 0; head < 2; head++)
        {
            labels.SetKey(0, 1, head, _ => 0);
            labels.SetKey(0, 2, head, _ => 1.5f);
            labels.SetKey(0, 3, head, c => c % 2 == 0 ? -1000 : 1000);
            labels.SetKey(0, 4, head, c => c * 1e-7f);
            labels.SetKey(0, 5, head, c => -60000 + c);
        }
        Check(labels);
    }

    private void Check(LabelCase labels)
    {
        labels.Fill(_random, (batch, k) => Append(labels.Shape, labels.Layer, batch, k));
        uint[] codes = labels.DownloadCodes(), scales = labels.DownloadScales();
        for (int s = 0; s < labels.Lengths.Length; s++)
            for (int token = 0; token < labels.Lengths[s]; token++)
                for (int head = 0; head < labels.Shape.KvHeads; head++) CheckToken(labels, codes, scales, s, token, head);
    }

    private void CheckToken(LabelCase labels, uint[] codes, uint[] scales, int sequence, int token, int head)
    {
        string where = $"{labels.Description}: sequence {sequence} token {token} kv head {head} (seed {_seed})";
        var format = labels.Layer.Format;
        uint[] words = labels.Words(codes, sequence, token, head);
        float[] key = labels.KeyChannels(sequence, token, head);
        int usedBits = key.Length * format.Bits() % 32;
        Assert.True(usedBits == 0 || words[^1] >> usedBits == 0, $"unused bits are {words[^1]:x8}; {where}");
        if (format == LabelFormat.F16)
        {
            for (int i = 0; i < key.Length; i++) Assert.True((Half)key[i] == BitConverter.UInt16BitsToHalf((ushort)(words[i / 2] >> (i % 2 * 16))), $"channel {i}; {where}");
            return;
        }
        Half step = default, minimum = default;
        if (labels.Layer.Scaling == LabelScaling.PerToken)
        {
            (step, minimum) = labels.Scales(scales, sequence, token, head);
            AssertHalf(key.Min(), minimum, where);
            AssertHalf((key.Max() - (double)key.Min()) / (ReferenceLabels.Levels(format) - 1), step, where);
        }
        for (int i = 0; i < key.Length; i++)
        {
            double level = labels.Layer.Scaling == LabelScaling.PerToken
                ? ReferenceLabels.TokenLevel(key[i], minimum, step) : ReferenceLabels.StaticLevel(key[i], labels.Offset(head, i), labels.Step(head, i), format);
            int code = ReferenceLabels.Unpack(words, format, i), expected = ReferenceLabels.Code(level, format);
            // far outside the range a tie is none
            int slack = ReferenceLabels.IsTie(level) || Math.Abs(level) > 1000 ? 1 : 0;
            if (level < 0 || level > ReferenceLabels.Levels(format) - 1) slack = 0;
            Assert.True(Math.Abs(code - expected) <= slack, $"channel {i}: code {code}, not {expected} (level {level}); {where}");
        }
    }

    private static void AssertHalf(double exact, Half stored, string where)
    {
        // half a unit in the last place, and what rounding to a float first may add
        double tolerance = Math.Max(Math.Abs(exact) * 0.000489, 2.99e-8);
        Assert.True(Math.Abs((double)stored - exact) <= tolerance, $"stored {stored} for {exact}; {where}");
    }
}
