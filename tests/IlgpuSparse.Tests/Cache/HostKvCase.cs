using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cache;

/// <summary>A model small enough for the CPU accelerator, and caches full of random contents.</summary>
internal static class HostKvCase
{
    public static readonly LlamaConfig Config = ModelShapes.Find("llama-3-8b", layers: 2) with
    {
        VocabularySize = 12,
        HiddenSize = 16,
        IntermediateSize = 16,
        Heads = 2,
        KvHeads = 1,
        HeadDim = 16,
    };

    /// <summary>Options for <paramref name="attention"/>.</summary>
    public static DecoderOptions Options(string attention, KvFormat format, int capacity = 2048)
    {
        var options = AttentionOptions.Parse(attention);
        return new DecoderOptions { Capacity = capacity, KvFormat = format, Attention = options, Channels = options.NeedsChannels ? TestChannels.Create(Config, options.HeadBudgets) : null };
    }

    /// <summary>Random K and V, and whatever the policy keeps of them, written into memory as it is: appending takes the CPU accelerator seconds.</summary>
    public static void Contents(LlamaDecoder decoder, Random random, CacheSequence sequence, int tokens)
    {
        int first = sequence.Length;
        sequence.Reserve(first + tokens);
        sequence.Advance(tokens);
        for (int layer = 0; layer < Config.Layers; layer++)
        {
            var cache = decoder.Cache.Layers[layer];
            // codes and their scales; sums of V and how many tokens are in them, so that steps begin with those
            IReadOnlyList<DeviceBuffer?> kept = decoder.Policy is DoubleSparsityPolicy policy ? policy.State(layer) : [null, null, null, null];
            for (int block = first / KvLayer.BlockTokens; block < KvCache.BlocksFor(sequence.Length); block++)
            {
                Write(cache.K, block, KvFormats(cache.Format));
                Write(cache.V, block, KvFormats(cache.Format));
                Write(cache.KScales, block, () => BitConverter.SingleToInt32Bits(random.NextSingle() / 100));
                Write(cache.VScales, block, () => BitConverter.SingleToInt32Bits(random.NextSingle() / 100));
                Write(kept[0], block, random.Next);
                Write(kept[1], block, () => random.Next() & 0x3bff3bff);
                Write(kept[2], block, () => BitConverter.SingleToInt32Bits(random.NextSingle() * 200 - 100));
                Write(kept[3], block, () => Math.Min(KvLayer.BlockTokens, sequence.Length - block * KvLayer.BlockTokens));
            }
        }

        Func<int> KvFormats(KvFormat format) => format switch
        {
            KvFormat.F32 => () => BitConverter.SingleToInt32Bits(random.NextSingle() * 2 - 1),
            KvFormat.Int8 => () => random.Next(int.MinValue, int.MaxValue),
            // exponents below those of infinities
            _ => () => random.Next() & 0x3bff3bff | random.Next(4) << 14 & 0x8000,
        };

        void Write(DeviceBuffer? buffer, int index, Func<int> word)
        {
            if (buffer is null) return;
            int bytes = (int)(buffer.ByteLength / decoder.Cache.Blocks);
            int[] words = [.. Enumerable.Range(0, bytes / sizeof(int)).Select(_ => word())];
            new DeviceSpan(buffer, (long)sequence.Blocks[index] * bytes).Upload<int>(words);
        }
    }

    /// <summary>Random K and V, and what the policy keeps of them, by the backend.</summary>
    public static void Fill(LlamaDecoder decoder, Random random, CacheSequence sequence, int tokens)
    {
        var shape = new AttentionShape(Config.Heads, Config.KvHeads, Config.HeadDim);
        int end = sequence.Length + tokens;
        sequence.Reserve(end);
        while (sequence.Length < end)
        {
            int rows = Math.Min(end - sequence.Length, random.Next(1, 500));
            using var batch = new StepBatch(decoder.Backend, rows, 1, decoder.Cache.Blocks);
            batch.SetPrefill(sequence.Length, rows, sequence.Blocks);
            decoder.Cache.Prepare(batch);
            for (int layer = 0; layer < Config.Layers; layer++)
            {
                float[] k = new float[rows * Config.KvHeads * Config.HeadDim], v = new float[k.Length];
                for (int i = 0; i < k.Length; i++) (k[i], v[i]) = (random.NextSingle() * 2 - 1, random.NextSingle() * 2 - 1);
                using DeviceBuffer keys = decoder.Backend.Allocate(k.Length * sizeof(float), "test"), values = decoder.Backend.Allocate(k.Length * sizeof(float), "test");
                ((DeviceSpan)keys).Upload<float>(k);
                ((DeviceSpan)values).Upload<float>(v);
                decoder.Backend.AppendKv(shape, decoder.Cache.Layers[layer], batch, keys, values);
                decoder.Policy.Append(layer, batch, keys);
                decoder.Backend.Synchronize();
            }
            sequence.Advance(rows);
        }
    }
}
