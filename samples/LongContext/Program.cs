// A book and a question: the book is read once, then each question starts from its cache, and few of its tokens are read for each new one.   dotnet run -- [model] [book] [question]...
using IlgpuSparse.Chat;
using IlgpuSparse.Generation;

string models = Path.Combine(AppContext.BaseDirectory, "models");
string path = args.Length > 0 ? args[0] : Path.Combine(models, "books-16m-q8_0.gguf");
string book = File.ReadAllText(args.Length > 1 ? args[1] : Path.Combine(models, "prompt.txt"));
string[] questions = args.Length > 2 ? args[2..] : ["\n\nWho was it that came to the door? It was", "\n\nAnd what did she say? She said"];

using var model = ChatModel.Open(path, new ChatModelOptions { Context = 8192 });
foreach (string question in questions)
{
    var answer = model.Generate(new TextRequest
    {
        Prompt = model.Tokenizer.Encode(book + question),
        IsContinuation = true,
        MaxTokens = 24,
        Sampling = new SamplingOptions { Temperature = 0.7f, TopP = 0.9f, Seed = 1 },
    });
    Console.Write(question.Trim());
    await foreach (var piece in answer) Console.Write(piece.Text);
    var s = answer.Statistics;
    Console.WriteLine($"\n  {s.PromptTokens:N0} tokens of the prompt computed, {s.ReusedTokens:N0} found in the cache; first token after {s.FirstTokenSeconds:0.00} s; then {s.DecodeTokensPerSecond:0} a second at density {s.Density:0.000}");
}
