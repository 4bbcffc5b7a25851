using System.Runtime.InteropServices;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Cache;

/// <summary>Brings stored keys to the host, from any backend and in any format. For one thread at a time.</summary>
internal sealed class KeyReader(int kvHeads, int headDim)
{
    private readonly byte[] _raw = new byte[KvLayer.BlockTokens * headDim * sizeof(float)];
    private readonly float[] _keys = new float[KvLayer.BlockTokens * headDim];
    private readonly float[] _scales = new float[KvLayer.BlockTokens];

    /// <summary>Keys <c>[token, headDim]</c> of the first <paramref name="tokens"/> of <paramref name="block"/>; valid until the next call.</summary>
    public ReadOnlySpan<float> Read(KvLayer layer, int block, int kvHead, int tokens)
    {
        int bytes = layer.Format.ElementBytes(), count = tokens * headDim;
        long row = ((long)block * kvHeads + kvHead) * KvLayer.BlockTokens;
        var raw = _raw.AsSpan(0, count * bytes);
        layer.K.Download(raw, row * headDim * bytes);
        switch (layer.Format)
        {
            case KvFormat.F32: MemoryMarshal.Cast<byte, float>(raw).CopyTo(_keys); break;
            case KvFormat.F16:
                var halves = MemoryMarshal.Cast<byte, Half>(raw);
                for (int i = 0; i < count; i++) _keys[i] = (float)halves[i];
                break;
            case KvFormat.BF16:
                var bits = MemoryMarshal.Cast<byte, ushort>(raw);
                for (int i = 0; i < count; i++) _keys[i] = BitConverter.UInt32BitsToSingle((uint)bits[i] << 16);
                break;
            case KvFormat.Int8:
                layer.KScales!.Download(MemoryMarshal.AsBytes(_scales.AsSpan(0, tokens)), row * sizeof(float));
                for (int i = 0; i < count; i++) _keys[i] = _scales[i / headDim] * (sbyte)raw[i];
                break;
            default: throw new ArgumentOutOfRangeException(nameof(layer), layer.Format, "unknown format of K");
        }
        return _keys.AsSpan(0, count);
    }
}
