using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;
using System.Text.Json;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cache;

/// <summary>
/// A sequence of a decoder as a file: its tokens, K, V and what the attention policy keeps of them. The file is the eight bytes of <see cref="s_magic"/>, the length of a JSON header (<see cref="SequenceStateHeader"/>) in four bytes, the
/// header, then for every layer and part the blocks of the sequence as they lie in memory, and the SHA-256 of everything before it.
/// </summary>
internal static class SequenceState
{
    private const int MaxHeaderBytes = 1 << 30, HashBytes = 32, HashedAtOnce = 1 << 24;

    private static readonly byte[] s_magic = "ilgpukv1"u8.ToArray();

    /// <summary>Writes <paramref name="sequence"/>, whose tokens are <paramref name="tokens"/>, to <paramref name="path"/>; a file of that name is replaced once all is written.</summary>
    /// <exception cref="NotSupportedException">The attention policy keeps what cannot be saved.</exception>
    public static void Save(LlamaDecoder decoder, CacheSequence sequence, string fingerprint, ReadOnlySpan<int> tokens, ReadOnlySpan<int> pending, string path)
    {
        if (tokens.Length != sequence.Length) throw new ArgumentException($"{tokens.Length} tokens of a sequence of {sequence.Length}", nameof(tokens));
        byte[] header = JsonSerializer.SerializeToUtf8Bytes(Expected(decoder, fingerprint) with { Tokens = tokens.ToArray(), Pending = pending.ToArray() });
        string unfinished = path + ".unfinished";
        try
        {
            using (var file = new FileStream(unfinished, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            using (var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256))
            {
                void Write(ReadOnlySpan<byte> bytes)
                {
                    file.Write(bytes);
                    hash.AppendData(bytes);
                }
                var length = new byte[sizeof(int)];
                BinaryPrimitives.WriteInt32LittleEndian(length, header.Length);
                Write(s_magic);
                Write(length);
                Write(header);
                byte[] block = [];
                foreach (var part in Parts(decoder))
                {
                    int bytes = BlockBytes(decoder, part);
                    if (block.Length < bytes) block = new byte[bytes];
                    for (int i = 0; i < KvCache.BlocksFor(sequence.Length); i++)
                    {
                        part.Download(block.AsSpan(0, bytes), (long)sequence.Blocks[i] * bytes);
                        Write(block.AsSpan(0, bytes));
                    }
                }
                file.Write(hash.GetHashAndReset());
            }
            File.Move(unfinished, path, overwrite: true);
        }
        catch
        {
            File.Delete(unfinished);
            throw;
        }
    }

    /// <summary>Reads <paramref name="path"/> into <paramref name="sequence"/>, which is empty, through a mapping of the file; nothing is changed before all of it was checked.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of another model, format or attention.</exception>
    /// <exception cref="InvalidOperationException">The cache has not that many free blocks.</exception>
    public static unsafe SequenceStateHeader Load(LlamaDecoder decoder, CacheSequence sequence, string fingerprint, string path)
    {
        if (sequence.Length != 0) throw new InvalidOperationException($"a state cannot be loaded behind {sequence.Length} tokens");
        long size = new FileInfo(path).Length; // says so when there is none
        if (size < s_magic.Length + sizeof(int) + HashBytes) throw new ModelFormatException(path, $"has {size} bytes, and is no state of a sequence");
        using var mapped = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        using var view = mapped.CreateViewAccessor(0, size, MemoryMappedFileAccess.Read);
        byte* data = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref data);
        try
        {
            data += view.PointerOffset;
            if (!new ReadOnlySpan<byte>(data, s_magic.Length).SequenceEqual(s_magic)) throw new ModelFormatException(path, "is no state of a sequence: it does not begin as one");
            int headerBytes = BinaryPrimitives.ReadInt32LittleEndian(new ReadOnlySpan<byte>(data + s_magic.Length, sizeof(int)));
            long start = s_magic.Length + sizeof(int) + (long)headerBytes;
            if (headerBytes is < 2 or > MaxHeaderBytes || start > size - HashBytes) throw new ModelFormatException(path, $"damaged: a header of {headerBytes:N0} bytes in a file of {size:N0}");
            var header = Header(path, new ReadOnlySpan<byte>(data + s_magic.Length + sizeof(int), headerBytes));
            Check(path, header, Expected(decoder, fingerprint), decoder.Config.VocabularySize);
            int blocks = KvCache.BlocksFor(header.Tokens.Length);
            long expected = start + blocks * header.BlockBytes + HashBytes;
            if (size != expected) throw new ModelFormatException(path, $"damaged: {header.Tokens.Length:N0} tokens take {expected:N0} bytes, the file has {size:N0}");
            using (var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256))
            {
                for (long at = 0; at < size - HashBytes; at += HashedAtOnce) hash.AppendData(new ReadOnlySpan<byte>(data + at, (int)Math.Min(HashedAtOnce, size - HashBytes - at)));
                if (!hash.GetHashAndReset().AsSpan().SequenceEqual(new ReadOnlySpan<byte>(data + size - HashBytes, HashBytes))) throw new ModelFormatException(path, "damaged: its checksum is not that of its contents");
            }
            sequence.Reserve(header.Tokens.Length);
            byte* next = data + start;
            foreach (var part in Parts(decoder))
            {
                int bytes = BlockBytes(decoder, part);
                for (int i = 0; i < blocks; i++, next += bytes) part.Upload(new ReadOnlySpan<byte>(next, bytes), (long)sequence.Blocks[i] * bytes);
            }
            sequence.Advance(header.Tokens.Length);
            return header;
        }
        finally
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }
    }

    private static SequenceStateHeader Header(string path, ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize<SequenceStateHeader>(json) is { Tokens: not null, Pending: not null } header ? header : throw new ModelFormatException(path, "damaged: its header says no tokens");
        }
        catch (JsonException e)
        {
            throw new ModelFormatException(path, $"damaged: its header is no JSON document ({e.Message})", e);
        }
    }

    private static void Check(string path, SequenceStateHeader header, SequenceStateHeader expected, int vocabulary)
    {
        void Same<T>(string what, T there, T here)
        {
            if (!EqualityComparer<T>.Default.Equals(there, here)) throw new ModelFormatException(path, $"is the state of another decoder: {what} {there}, here {here}");
        }
        Same("model", header.Model, expected.Model);
        Same("K and V as", header.Format, expected.Format);
        Same("layers", header.Layers, expected.Layers);
        Same("kv heads", header.KvHeads, expected.KvHeads);
        Same("head size", header.HeadDim, expected.HeadDim);
        Same("attention that keeps", header.Policy, expected.Policy);
        Same("bytes a block", header.BlockBytes, expected.BlockBytes);
        foreach (int id in header.Tokens.Concat(header.Pending))
            if ((uint)id >= (uint)vocabulary) throw new ModelFormatException(path, $"damaged: token id {id} is outside the vocabulary of {vocabulary}");
    }

    private static SequenceStateHeader Expected(LlamaDecoder decoder, string fingerprint)
    {
        var c = decoder.Config;
        return new SequenceStateHeader(fingerprint, decoder.Cache.Format.ToString(), c.Layers, c.KvHeads, c.HeadDim, decoder.Policy.StateSignature, Parts(decoder).Sum(part => (long)BlockBytes(decoder, part)), [], []);
    }

    // Every buffer that holds something a token, in blocks of the cache.
    private static IEnumerable<DeviceBuffer> Parts(LlamaDecoder decoder)
    {
        for (int i = 0; i < decoder.Cache.Layers.Count; i++)
        {
            var layer = decoder.Cache.Layers[i];
            foreach (var part in (DeviceBuffer?[])[layer.K, layer.V, layer.KScales, layer.VScales, .. decoder.Policy.State(i)])
                if (part is not null) yield return part;
        }
    }

    private static int BlockBytes(LlamaDecoder decoder, DeviceBuffer part) => checked((int)(part.ByteLength / decoder.Cache.Blocks));
}
