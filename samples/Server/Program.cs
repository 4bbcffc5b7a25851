// A server of your own around a model, in minimal APIs; requests.http has calls to try. For OpenAI's and Ollama's APIs there is 'ilgpusparse serve'.   dotnet run -- [model] [--once]
using IlgpuSparse.Chat;
using Microsoft.Extensions.AI;

string path = args.FirstOrDefault(a => !a.StartsWith("--", StringComparison.Ordinal)) ?? Path.Combine(AppContext.BaseDirectory, "models", "books-16m-q8_0.gguf");
var builder = WebApplication.CreateBuilder();
if (args.Contains("--once")) builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Services.AddLlamaChatClient(path, new ChatModelOptions { Parallel = 4, MaxTokens = 64 });
builder.WebHost.UseUrls(args.Contains("--once") ? "http://127.0.0.1:0" : "http://127.0.0.1:5080");
var app = builder.Build();

app.MapPost("/continue", (Story story, IChatClient client, CancellationToken cancellation) =>
    TypedResults.ServerSentEvents(Continue(story, client, cancellation)));

// one call to itself, for a quick look
if (args.Contains("--once"))
{
    await app.StartAsync();
    using var http = new HttpClient();
    Console.WriteLine(await (await http.PostAsJsonAsync(app.Urls.First() + "/continue", new Story("Once upon a time", 8))).Content.ReadAsStringAsync());
    await app.StopAsync();
    return;
}
await app.RunAsync();

static async IAsyncEnumerable<string> Continue(Story story, IChatClient client, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
{
    await foreach (var update in client.GetStreamingResponseAsync(story.Text, new ChatOptions { MaxOutputTokens = story.Tokens, Seed = 1 }, cancellation))
        if (update.Text.Length > 0) yield return update.Text;
}

internal sealed record Story(string Text, int Tokens);
