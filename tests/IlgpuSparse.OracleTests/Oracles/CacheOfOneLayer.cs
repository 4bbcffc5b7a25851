using System.Runtime.InteropServices;
using IlgpuSparse.Compute;

namespace IlgpuSparse.OracleTests.Oracles;

/// <summary>
/// Random K and V of several sequences, laid out as <see cref="KvLayer"/> says by plain host code, in blocks handed out in random order. The numbers are rounded to the
/// cache's format beforehand, so that the oracle can be given exactly what is stored.
/// </summary>
internal sealed class CacheOfOneLayer : IDisposable
{
    private readonly KvFormat _format;
    private readonly AttentionShape _shape;

    public CacheOfOneLayer(ComputeBackend backend, AttentionShape shape, KvFormat format, int[] lengths, Random random)
    {
        _format = format;
        _shape = shape;
        int[] blockCounts = [.. lengths.Select(l => (l + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens)];
        BlocksPerSequence = blockCounts.Max();
        int[] free = [.. Enumerable.Range(0, blockCounts.Sum() + 2)];
        random.Shuffle(free);
        Blocks = new int[lengths.Length][];
        for (int sequence = 0, taken = 0; sequence < lengths.Length; taken += blockCounts[sequence++])
            Blocks[sequence] = [.. free.AsSpan(taken, blockCounts[sequence]), .. new int[BlocksPerSequence - blockCounts[sequence]]];

        K = [.. lengths.Select(l => Rounded(Matrices.Normal(random, l * shape.KvHeads * shape.HeadDim)))];
        V = [.. lengths.Select(l => Rounded(Matrices.Normal(random, l * shape.KvHeads * shape.HeadDim)))];
        Layer = new KvLayer(format, Store(backend, K, free.Length), Store(backend, V, free.Length));
    }

    /// <summary>The layer as the backend sees it.</summary>
    public KvLayer Layer { get; }

    /// <summary>Blocks of each sequence, all lists equally long.</summary>
    public int[][] Blocks { get; }

    /// <summary>Width of the block table.</summary>
    public int BlocksPerSequence { get; }

    /// <summary>Keys of each sequence, <c>[token, kvHead, headDim]</c>.</summary>
    public float[][] K { get; }

    /// <summary>Values of each sequence, <c>[token, kvHead, headDim]</c>.</summary>
    public float[][] V { get; }

    private float[] Rounded(float[] values) => _format switch
    {
        KvFormat.F16 => [.. values.Select(v => (float)(Half)v)],
        KvFormat.BF16 => [.. values.Select(v => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0xFFFF0000))],
        _ => values,
    };

    private DeviceBuffer Store(ComputeBackend backend, float[][] sequences, int blocks)
    {
        int perToken = _shape.KvHeads * _shape.HeadDim;
        var stored = new float[blocks * KvLayer.BlockTokens * perToken];
        Array.Fill(stored, 1e4f); // whoever reads a token that is not there will show it
        for (int sequence = 0; sequence < sequences.Length; sequence++)
        {
            for (int token = 0; token < sequences[sequence].Length / perToken; token++)
            {
                for (int head = 0; head < _shape.KvHeads; head++)
                {
                    int block = Blocks[sequence][token / KvLayer.BlockTokens];
                    int target = ((block * _shape.KvHeads + head) * KvLayer.BlockTokens + token % KvLayer.BlockTokens) * _shape.HeadDim;
                    Array.Copy(sequences[sequence], token * perToken + head * _shape.HeadDim, stored, target, _shape.HeadDim);
                }
            }
        }
        byte[] bytes = _format switch
        {
            KvFormat.F32 => MemoryMarshal.AsBytes<float>(stored).ToArray(),
            KvFormat.F16 => MemoryMarshal.AsBytes<Half>(stored.Select(v => (Half)v).ToArray()).ToArray(),
            KvFormat.BF16 => MemoryMarshal.AsBytes<ushort>(stored.Select(v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16)).ToArray()).ToArray(),
            _ => throw new ArgumentException($"{_format} has no plain layout"),
        };
        var buffer = backend.Allocate(bytes.Length, "kv");
        buffer.Upload(bytes);
        return buffer;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Layer.K.Dispose();
        Layer.V.Dispose();
    }
}
