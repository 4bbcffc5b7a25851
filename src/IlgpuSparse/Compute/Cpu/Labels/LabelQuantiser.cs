using System.Runtime.CompilerServices;

namespace IlgpuSparse.Compute.Cpu.Labels;

/// <summary>Makes one label: gathers the channels of a key, rounds them to codes, packs the codes into words.</summary>
/// <param name="labels">The cache.</param>
/// <param name="values">Room for r floats, rounded up to 16.</param>
/// <param name="codes">Room for r codes, rounded up to 16.</param>
internal readonly unsafe struct LabelQuantiser<V>(LabelPointers labels, float* values, uint* codes) where V : struct, ISimd<V>
{
    // Adding 2^23 to a number from 0 to 2^22 rounds it to nearest, ties to even, and leaves it in the low bits.
    private const float RoundingShift = 8388608f;

    private readonly LabelPointers _labels = labels;
    private readonly float* _values = values;
    private readonly uint* _codes = codes;

    /// <summary>Writes the label of <paramref name="key"/> <c>[headDim]</c> at token <paramref name="slot"/> of (<paramref name="block"/>, <paramref name="head"/>).</summary>
    public void Write(float* key, int head, int block, int slot)
    {
        int r = _labels.Channels;
        int* indices = _labels.Indices + (long)head * r;
        for (int i = 0; i < r; i++) _values[i] = key[indices[i]];
        uint* target = _labels.Block(block, head) + slot / LabelLayer.TileTokens * (LabelLayer.TileTokens * _labels.Words) + slot % LabelLayer.TileTokens;
        if (_labels.Format == LabelFormat.F16)
        {
            PackHalves(target);
            return;
        }
        // Repeats of a channel fill the last vector: they change neither minimum nor maximum.
        for (int i = r; i < ((r + 15) & ~15); i++) _values[i] = _values[0];
        if (_labels.Planes != null) QuantisePlanes(_labels.Offsets + (long)head * r, _labels.QuantiserSteps + (long)head * r, _labels.Planes + (long)head * r);
        else if (_labels.IsStatic) QuantiseStatic(_labels.Offsets + (long)head * r, _labels.Steps + (long)head * r);
        else _labels.BlockScales(block, head)[slot] = QuantisePerToken();
        Pack(target);
    }

    private void QuantiseStatic(float* offsets, float* steps)
    {
        int levels = 1 << _labels.Bits;
        V middle = V.Create((levels - 1) * 0.5f), top = V.Create(levels - 1), minusOne = V.Create(-1), shift = V.Create(RoundingShift);
        for (int i = 0; i < _labels.Channels; i += V.Count)
        {
            V centred = V.MultiplyAdd(minusOne, V.Load(offsets + i), V.Load(_values + i));
            V level = V.Add(V.Divide(centred, V.Load(steps + i)), middle);
            StoreCodes(level, top, shift, levels - 1, i);
        }
    }

    // The places of a channel follow one another from bit 0 on: its code is computed once.
    private void QuantisePlanes(float* offsets, float* steps, int* planes)
    {
        uint code = 0;
        for (int i = 0; i < _labels.Channels; i++)
        {
            int plane = planes[i] >> 8;
            if (plane == 0)
            {
                int top = (1 << (planes[i] & 255)) - 1;
                float level = (_values[i] - offsets[i]) / steps[i] + top * 0.5f;
                code = (uint)MathF.Round(MathF.Min(MathF.Max(level, 0f), top));
            }
            _codes[i] = code >> plane & 1u;
        }
    }

    private uint QuantisePerToken()
    {
        V least = V.Load(_values), most = least;
        for (int i = V.Count; i < _labels.Channels; i += V.Count)
        {
            V x = V.Load(_values + i);
            least = V.Min(least, x);
            most = V.Max(most, x);
        }
        float* lanes = (float*)_codes;
        V.Store(least, lanes);
        float min = lanes[0];
        for (int i = 1; i < V.Count; i++) min = Math.Min(min, lanes[i]);
        V.Store(most, lanes);
        float max = lanes[0];
        for (int i = 1; i < V.Count; i++) max = Math.Max(max, lanes[i]);

        int levels = 1 << _labels.Bits;
        Half minimum = ToHalf(min), step = ToHalf((max - min) / (levels - 1));
        float origin = (float)minimum, width = (float)step;
        // All channels alike, or nearly: the minimum says it all, and every code is zero.
        V inverse = V.Create(width > 0 ? width : float.PositiveInfinity);
        V top = V.Create(levels - 1), shift = V.Create(RoundingShift), offset = V.Create(-origin);
        for (int i = 0; i < _labels.Channels; i += V.Count)
            StoreCodes(V.Divide(V.Add(V.Load(_values + i), offset), inverse), top, shift, levels - 1, i);
        return (uint)BitConverter.HalfToUInt16Bits(step) | (uint)BitConverter.HalfToUInt16Bits(minimum) << 16;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void StoreCodes(V level, V top, V shift, int mask, int i)
    {
        V clamped = V.Min(V.Max(level, V.Zero), top);
        V.Store(V.And(V.Add(clamped, shift), mask), (float*)_codes + i);
    }

    private void Pack(uint* target)
    {
        int bits = _labels.Bits, perWord = 32 / bits;
        for (int first = 0; first < _labels.Channels; first += perWord, target += LabelLayer.TileTokens)
        {
            uint word = 0;
            int end = Math.Min(first + perWord, _labels.Channels);
            for (int i = end - 1; i >= first; i--) word = word << bits | _codes[i];
            *target = word;
        }
    }

    private void PackHalves(uint* target)
    {
        int r = _labels.Channels;
        for (int i = 0; i < r; i += 2, target += LabelLayer.TileTokens)
        {
            uint low = BitConverter.HalfToUInt16Bits(ToHalf(_values[i]));
            uint high = i + 1 < r ? BitConverter.HalfToUInt16Bits(ToHalf(_values[i + 1])) : 0u;
            *target = low | high << 16;
        }
    }

    // Saturating: an infinite label would make every score of its token infinite or NaN.
    private static Half ToHalf(float x) => (Half)Math.Clamp(x, -65504f, 65504f);
}
