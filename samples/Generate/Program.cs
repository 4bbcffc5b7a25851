// Continues a text with Double Sparsity, token by token.   dotnet run -- [model] [text]
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

string path = args.Length > 0 ? args[0] : Path.Combine(AppContext.BaseDirectory, "models", "books-16m-q8_0.gguf");
string text = args.Length > 1 ? args[1] : "It was a dark night, and the old captain";

using var model = ModelFile.Open(path);
using var backend = ComputeBackends.Create("auto");
using var weights = LlamaWeights.Load(backend, model);
using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions
{
    Capacity = 2048,
    Attention = AttentionOptions.Parse("double-sparsity:tokens=1/16,min-tokens=64"),
    Channels = ChannelMapFile.Load(ChannelMapFile.PathFor(path), model),
});
using var generator = new Generator(decoder);
var tokenizer = TextTokenizer.Create(model.Tokenizer!);
var continuation = tokenizer.CreateDecoder(continuation: true);

Console.Write(text);
var options = new GenerationOptions { MaxTokens = 40, StopIds = [.. tokenizer.EosIds], Sampling = new SamplingOptions { Temperature = 0.7f, TopP = 0.9f, Seed = 1 } };
foreach (int token in generator.Generate(tokenizer.Encode(text), options)) Console.Write(continuation.Append(token));
Console.WriteLine(continuation.Flush());
Console.WriteLine($"{generator.Statistics.DecodeTokensPerSecond:0} tokens a second");
