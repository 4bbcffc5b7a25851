using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Generation;

/// <summary>The model that engines are tested with, decoders of it, and random requests.</summary>
internal sealed class EngineCase : IDisposable
{
    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly CpuBackend _backend = new(2);
    private readonly LlamaWeights _weights;

    public EngineCase() => _weights = LlamaWeights.Load(_backend, _model);

    /// <summary>A decoder of its own cache over the model that all share.</summary>
    public LlamaDecoder Decoder(int capacity, int sequences, string attention = "double-sparsity:tokens=1/8,min-tokens=16") => new(_backend, _weights, new DecoderOptions
    {
        Capacity = capacity,
        MaxSequences = sequences,
        PrefillChunk = 128,
        KvFormat = KvFormat.F32,
        Attention = AttentionOptions.Parse(attention),
        Channels = ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json")),
    });

    /// <summary>Random tokens for a prompt, and how to go on from it.</summary>
    public static GenerationRequest Request(int seed, int promptLength, int tokens, float temperature = 0.8f)
    {
        var random = new Random(seed);
        return new GenerationRequest
        {
            Prompt = [1, .. Enumerable.Range(0, promptLength - 1).Select(_ => random.Next(300, 4000))],
            Options = new GenerationOptions { MaxTokens = tokens, Sampling = new SamplingOptions { Temperature = temperature, TopP = 0.95f, Seed = (ulong)seed } },
        };
    }

    /// <summary>What <paramref name="decoder"/> makes of it with nothing beside it.</summary>
    public static int[] Alone(LlamaDecoder decoder, GenerationRequest request)
    {
        using var generator = new Generator(decoder);
        return [.. generator.Generate([.. request.Prompt], request.Options)];
    }

    /// <summary>Its tokens, to the end.</summary>
    public static async Task<int[]> Read(GenerationTicket ticket)
    {
        var ids = new List<int>();
        await foreach (var token in ticket) ids.Add(token.Id);
        return [.. ids];
    }

    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        _model.Dispose();
    }
}
