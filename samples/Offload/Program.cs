// K and V in host memory: a GPU keeps labels and a few rows, and of K and V only the rows that a step selects cross the bus. What is written is the same as with K and V on the device.   dotnet run -- [model]
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

string models = Path.Combine(AppContext.BaseDirectory, "models");
string path = args.Length > 0 ? args[0] : Path.Combine(models, "books-16m-q8_0.gguf");
using var backend = ComputeBackends.Create("auto");
if (backend.Name == "cuda") Text(); else Toy();
return;

// 7,700 tokens of a novel, continued.
void Text()
{
    using var model = ModelFile.Open(path);
    using var weights = LlamaWeights.Load(backend, model);
    var tokenizer = TextTokenizer.Create(model.Tokenizer!);
    var options = new DecoderOptions
    {
        Capacity = 8192,
        Attention = AttentionOptions.Parse("double-sparsity:tokens=1/16"),
        Channels = ChannelMapFile.Load(ChannelMapFile.PathFor(path), model),
        HotTokens = 512,
    };
    Console.WriteLine(tokenizer.Decode(Compare(backend, weights, options, tokenizer.Encode(File.ReadAllText(Path.Combine(models, "prompt.txt"))), newTokens: 40)));
}

// The cpu backend has no memory of its own that K and V could be kept out of. ILGPU's CPU accelerator has, and runs the kernels of a GPU, if thousands of times slower: one small layer of random weights has to do.
void Toy()
{
    Console.WriteLine($"K and V in host memory are for CUDA, and here is '{backend.Name}' ({backend.Description}). On ILGPU's CPU accelerator, with a toy model instead:");
    using var emulated = ComputeBackends.Create("ilgpu-cpu");
    var config = ModelShapes.Find("llama-3-8b", layers: 1) with { VocabularySize = 32, HiddenSize = 16, IntermediateSize = 16, Heads = 1, KvHeads = 1, HeadDim = 16 };
    using var weights = RandomModel.Create(emulated, config, WeightFormat.F16);
    var random = new Random(1);
    int[] prompt = [.. Enumerable.Range(0, 800).Select(_ => random.Next(config.VocabularySize))];
    Compare(emulated, weights, new DecoderOptions { Capacity = 2048, PrefillChunk = 1024, Attention = AttentionOptions.Parse("oracle:tokens=48"), HotTokens = 64 }, prompt, newTokens: 6);
}

static int[] Compare(ComputeBackend backend, LlamaWeights weights, DecoderOptions options, int[] prompt, int newTokens)
{
    int[] onDevice = Generate(KvPlacement.Device), onHost = Generate(KvPlacement.Host);
    Console.WriteLine(onHost.SequenceEqual(onDevice) ? $"the same {onHost.Length} tokens" : throw new InvalidOperationException("K and V in host memory gave other tokens"));
    return onHost;

    int[] Generate(KvPlacement placement)
    {
        long before = backend.Memory.LiveBytes;
        using var decoder = new LlamaDecoder(backend, weights, options with { KvPlacement = placement });
        using var generator = new Generator(decoder);
        int[] tokens = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = newTokens })];
        var s = generator.Statistics;
        Console.WriteLine($"K and V on the {placement.ToString().ToLowerInvariant()}: {(backend.Memory.LiveBytes - before) >> 10:N0} KiB of the device beside the weights, {s.DecodeTokensPerSecond:0.0} tokens/s");
        if (s.Offload is { } offload)
            Console.WriteLine($"  of the rows selected in {offload.Steps} steps {offload.HostRows:N0} came from the host, {offload.HotRows:N0} were still there from before, {offload.ResidentRows:N0} always are; {offload.BusBytesPerStep:N0} bytes a step over the bus, all of K and V are {decoder.DenseBytesRead(prompt.Length):N0}");
        return tokens;
    }
}
