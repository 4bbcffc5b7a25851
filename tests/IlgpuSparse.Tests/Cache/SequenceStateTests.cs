using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cache;

/// <summary>Sequences as files: going on from one is going on; anything else is refused with one message that names the file.</summary>
public sealed class SequenceStateTests : IDisposable
{
    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly CpuBackend _backend = new();
    private readonly LlamaWeights _weights;
    private readonly string _path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public SequenceStateTests() => _weights = LlamaWeights.Load(_backend, _model);

    [Theory]
    [InlineData("dense", KvFormat.F16)]
    [InlineData("double-sparsity:tokens=1/8,mean-value=on,dense-layers=1", KvFormat.Int8)]
    [InlineData("double-sparsity:tokens=40,bits=4,scaling=token", KvFormat.F32)]
    public void Going_on_from_a_file_is_going_on(string attention, KvFormat format)
    {
        int[] prompt = Prompt(300);
        int[] whole;
        using (var decoder = Decoder(attention, format))
        using (var generator = new Generator(decoder)) whole = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = 24 })];
        int[] first;
        using (var decoder = Decoder(attention, format))
        using (var generator = new Generator(decoder))
        {
            first = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = 8 })];
            generator.SaveState(_path, _model.Fingerprint);
        }
        using (var decoder = Decoder(attention, format))
        using (var generator = new Generator(decoder))
        {
            // blocks that differ from the ones it was saved from
            using var other = decoder.NewSequence();
            decoder.Prefill(other, [1, 2, 3]);
            var pending = generator.LoadState(_path, _model.Fingerprint);
            Assert.Equal((int[])[first[^1]], pending);
            Assert.Equal(300 + 7, generator.Length);
            int[] second = [.. generator.Generate([.. pending], new GenerationOptions { MaxTokens = 16 })];
            Assert.Equal(whole, (int[])[.. first, .. second]);
        }
    }

    [Fact]
    public void Damaged_and_foreign_files_are_refused_by_name_and_change_nothing()
    {
        const string attention = "double-sparsity:tokens=1/8";
        using (var decoder = Decoder(attention, KvFormat.F16))
        using (var generator = new Generator(decoder))
        {
            Assert.Throws<InvalidOperationException>(() => generator.SaveState(_path, _model.Fingerprint));
            foreach (int _ in generator.Generate(Prompt(40), new GenerationOptions { MaxTokens = 2 })) { }
            generator.SaveState(_path, _model.Fingerprint);
            Assert.Throws<InvalidOperationException>(() => generator.LoadState(_path, _model.Fingerprint));
        }
        byte[] good = File.ReadAllBytes(_path);
        Refused(good[..^1], "bytes");
        Refused(good[..20], "no state");
        Refused(good[..60], "header");
        Refused([.. good, 0], "bytes");
        Refused([.. "GGUF"u8, .. good[4..]], "no state");
        Refused(Flipped(good.Length / 2), "checksum");
        Refused(Flipped(good.Length - 1), "checksum");
        Refused(Flipped(11), "header"); // its length
        Refused(Flipped(13), "");
        Refused(good, "model", fingerprint: "another");
        Refused(good, "K and V", format: KvFormat.F32);
        Refused(good, "attention", kind: "double-sparsity:tokens=1/8,bits=4");
        Refused(good, "attention", kind: "double-sparsity:tokens=1/8,order=random");
        Refused(good, "attention", kind: "dense");
        // the budget is no part of what is kept
        Load(good, _model.Fingerprint, "double-sparsity:tokens=1/16", KvFormat.F16);

        byte[] Flipped(int at)
        {
            byte[] bytes = [.. good];
            bytes[at] ^= 0x40;
            return bytes;
        }

        void Refused(byte[] bytes, string word, string? fingerprint = null, KvFormat format = KvFormat.F16, string kind = attention)
        {
            var e = Assert.Throws<ModelFormatException>(() => Load(bytes, fingerprint ?? _model.Fingerprint, kind, format));
            Assert.StartsWith(_path, e.Message, StringComparison.Ordinal);
            Assert.Contains(word, e.Message, StringComparison.Ordinal);
        }

        void Load(byte[] bytes, string fingerprint, string kind, KvFormat format)
        {
            File.WriteAllBytes(_path, bytes);
            using var decoder = Decoder(kind, format);
            using var generator = new Generator(decoder);
            try
            {
                generator.LoadState(_path, fingerprint);
            }
            catch (ModelFormatException)
            {
                Assert.Equal(0, generator.Length);
                Assert.Equal(decoder.Cache.Blocks, decoder.Cache.FreeBlocks);
                throw;
            }
        }
    }

    [Fact]
    public void A_policy_that_keeps_more_says_so_and_a_small_cache_too()
    {
        using (var decoder = Decoder("quest", KvFormat.F16))
        using (var generator = new Generator(decoder))
        {
            foreach (int _ in generator.Generate(Prompt(40), new GenerationOptions { MaxTokens = 1 })) { }
            Assert.Contains("quest", Assert.Throws<NotSupportedException>(() => generator.SaveState(_path, _model.Fingerprint)).Message, StringComparison.Ordinal);
            Assert.False(File.Exists(_path));
            Assert.False(File.Exists(_path + ".unfinished"));
        }
        using (var decoder = Decoder("dense", KvFormat.F16))
        using (var generator = new Generator(decoder))
        {
            foreach (int _ in generator.Generate(Prompt(400), new GenerationOptions { MaxTokens = 1 })) { }
            generator.SaveState(_path, _model.Fingerprint);
        }
        using (var decoder = Decoder("dense", KvFormat.F16, 256))
        using (var generator = new Generator(decoder))
            Assert.Contains("--context", Assert.Throws<InvalidOperationException>(() => generator.LoadState(_path, _model.Fingerprint)).Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        _model.Dispose();
        File.Delete(_path);
    }

    private LlamaDecoder Decoder(string attention, KvFormat format, int capacity = 1024)
    {
        var options = AttentionOptions.Parse(attention);
        return new LlamaDecoder(_backend, _weights, new DecoderOptions
        {
            Capacity = capacity,
            KvFormat = format,
            Attention = options,
            Channels = options.NeedsChannels ? ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json")) : null,
        });
    }

    private static int[] Prompt(int length) => [.. Enumerable.Range(0, length).Select(i => 5 + i * 37 % 900)];
}
