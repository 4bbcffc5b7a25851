// Finds the channels that labels are made of, from a text, and writes them where Double Sparsity looks for them.   dotnet run -- [model] [text file] [output]
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

string models = Path.Combine(AppContext.BaseDirectory, "models");
string path = args.Length > 0 ? args[0] : Path.Combine(models, "books-16m-q8_0.gguf");
string text = File.ReadAllText(args.Length > 1 ? args[1] : Path.Combine(models, "calibration.txt"));
string output = args.Length > 2 ? args[2] : Path.Combine(Path.GetTempPath(), "sample.channels.json");
const int Window = 512, Windows = 4;

using var model = ModelFile.Open(path);
using var backend = ComputeBackends.Create("auto");
using var weights = LlamaWeights.Load(backend, model);
using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = Window, KvFormat = KvFormat.F32 });

int[] tokens = TextTokenizer.Create(model.Tokenizer!).Encode(text);
var calibrator = new Calibrator(decoder);
var statistics = new ChannelStatistics(model.Config);
for (int i = 0; i < Windows && (i + 1) * Window <= tokens.Length; i++) calibrator.Gather(statistics, tokens.AsSpan(i * Window, Window));

var map = ChannelStatistics.Rank([statistics], CalibrationStatistic.Variance, model.Fingerprint);
map.Save(output);
Console.WriteLine($"{statistics.Tokens:N0} tokens; the best channels of layer 0, head 0: {string.Join(", ", map[0, 0].Ranking.Take(8))}; written to {output}");
