// An attention of one's own: every query reads the first four tokens, the last 64, and every eighth in between. Compared with full attention by what the model writes.   dotnet run -- [model]
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

string models = Path.Combine(AppContext.BaseDirectory, "models");
using var model = ModelFile.Open(args.Length > 0 ? args[0] : Path.Combine(models, "books-16m-q8_0.gguf"));
using var backend = ComputeBackends.Create("auto");
using var weights = LlamaWeights.Load(backend, model);
var tokenizer = TextTokenizer.Create(model.Tokenizer!);
int[] prompt = tokenizer.Encode(File.ReadAllText(Path.Combine(models, "prompt.txt")))[..1500];
var options = new DecoderOptions { Capacity = 2048 };

using (var decoder = new LlamaDecoder(backend, weights, options)) Show(decoder);
using (var decoder = new LlamaDecoder(backend, weights, options, (cache, resolved) => new StridedPolicy(backend, model.Config, cache, resolved.MaxSequences))) Show(decoder);
return;

void Show(LlamaDecoder decoder)
{
    using var generator = new Generator(decoder);
    int[] tokens = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = 24 })];
    Console.WriteLine($"{decoder.Policy.Description}, density {generator.Statistics.Density:0.000}: {tokenizer.Decode(tokens)}");
}

/// <summary>Reads tokens by their place alone: sinks, every n-th, and a window. One set serves all kv heads.</summary>
internal sealed class StridedPolicy(ComputeBackend backend, LlamaConfig config, KvCache cache, int maxRows) : AttentionPolicy
{
    private const int Sinks = 4, Stride = 8, Window = 64;

    private readonly AttentionShape _shape = new(config.Heads, config.KvHeads, config.HeadDim, config.SlidingWindow);
    private readonly TokenSets _sets = new(backend.Allocate((long)maxRows * config.KvHeads * cache.Capacity * sizeof(int), "sets"), backend.Allocate((long)maxRows * config.KvHeads * sizeof(int), "sets"), config.KvHeads, cache.Capacity);

    public override string Description => $"every {Stride}th token";

    public override long AuxiliaryBytesPerToken => 0;

    // the sets are made on the host, so a step is not one that a GPU can repeat by itself
    public override bool IsRecordable => false;

    public override void Append(int layer, StepBatch batch, DeviceSpan k) { }

    public override void Attend(int layer, StepBatch batch, DeviceSpan q, DeviceSpan y)
    {
        for (int row = 0; row < batch.Rows && layer == 0; row++)
        {
            int[] read = Read(batch.HostPositions[row]);
            for (int set = row * config.KvHeads; set < (row + 1) * config.KvHeads; set++)
            {
                _sets.Indices.Upload(System.Runtime.InteropServices.MemoryMarshal.AsBytes<int>(read), (long)set * _sets.Capacity * sizeof(int));
                _sets.Counts.Upload(BitConverter.GetBytes(read.Length), (long)set * sizeof(int));
            }
        }
        backend.AttendSelected(_shape, cache.Layers[layer], batch, q, _sets, y);
    }

    private static int[] Read(int position) => [.. Enumerable.Range(0, position + 1).Where(t => t < Sinks || t % Stride == 0 || t > position - Window)];

    public override long BytesRead(int position) => Read(position).Length * KvCache.BytesPerToken(config, cache.Format);

    public override void Dispose() => _sets.Dispose();
}
