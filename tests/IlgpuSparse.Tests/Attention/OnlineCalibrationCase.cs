using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Attention;

/// <summary>The model with which maps of texts are made, a prose for it, and decoders whose policy makes them.</summary>
internal sealed class OnlineCalibrationCase : IDisposable
{
    public OnlineCalibrationCase()
    {
        Weights = LlamaWeights.Load(Backend, Model);
        Tokenizer = TextTokenizer.Create(Model.Tokenizer!);
        Prose = Tokenizer.Encode(File.ReadAllText(Path.Combine(Path.GetDirectoryName(TestFiles.Model)!, "prompt.txt")));
    }

    public ModelFile Model { get; } = ModelFile.Open(TestFiles.Model);
    public CpuBackend Backend { get; } = new();
    public LlamaWeights Weights { get; }
    public TextTokenizer Tokenizer { get; }

    /// <summary>Tokens of the prompt that travels with the model.</summary>
    public int[] Prose { get; }

    /// <summary>A decoder with maps of its texts.</summary>
    public LlamaDecoder Decoder(string settings, KvFormat format = KvFormat.F16, int sequences = 1, int prefillChunk = 512, int capacity = 3072) =>
        new(Backend, Weights, Options($"double-sparsity:map=online,{settings}", format, sequences, prefillChunk, capacity));

    /// <summary>The only text that it has.</summary>
    public static MappedText Text(LlamaDecoder decoder) => ((OnlineDoubleSparsityPolicy)decoder.Policy).Texts.Single();

    public static DecoderOptions Options(string attention, KvFormat format = KvFormat.F16, int sequences = 1, int prefillChunk = 512, int capacity = 3072) =>
        new() { Capacity = capacity, KvFormat = format, Attention = AttentionOptions.Parse(attention), MaxSequences = sequences, PrefillChunk = prefillChunk };

    /// <summary>Logits after each of <paramref name="next"/>, which follow <paramref name="prompt"/>.</summary>
    public static float[][] Run(LlamaDecoder decoder, int[] prompt, int[] next)
    {
        using var sequence = decoder.NewSequence();
        decoder.Prefill(sequence, prompt);
        return Steps(decoder, sequence, next);
    }

    public static float[][] Steps(LlamaDecoder decoder, CacheSequence sequence, int[] tokens) => [.. tokens.Select(t => decoder.Decode([sequence], [t]).ToArray())];

    public static void AssertClose(float[] expected, float[] found)
    {
        for (int i = 0; i < expected.Length; i++) Assert.True(Math.Abs(expected[i] - found[i]) < 5e-3, $"logit {i}: {expected[i]} and {found[i]}");
    }

    public void Dispose()
    {
        Weights.Dispose();
        Backend.Dispose();
        Model.Dispose();
        Assert.Equal(0, Backend.Memory.LiveBytes);
    }
}
