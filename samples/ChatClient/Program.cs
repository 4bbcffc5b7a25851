// A local model as the IChatClient of an application, by dependency injection.   dotnet run -- [model]
using IlgpuSparse.Chat;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;

string path = args.Length > 0 ? args[0] : Path.Combine(AppContext.BaseDirectory, "models", "books-16m-q8_0.gguf");
await using var services = new ServiceCollection()
    .AddLlamaChatClient(path, new ChatModelOptions { MaxTokens = 40 })
    .BuildServiceProvider();

var client = services.GetRequiredService<IChatClient>();
List<ChatMessage> conversation = [new(ChatRole.User, "The sea was calm that evening, and")];
await foreach (var update in client.GetStreamingResponseAsync(conversation, new ChatOptions { Seed = 1 })) Console.Write(update.Text);
Console.WriteLine();

conversation.Add(new(ChatRole.User, "In the morning"));
var response = await client.GetResponseAsync(conversation, new ChatOptions { Seed = 1, MaxOutputTokens = 20 });
Console.WriteLine($"{response.Text}\n{response.Usage!.InputTokenCount} tokens in, {response.Usage.CachedInputTokenCount} of them from the cache, {response.Usage.OutputTokenCount} out");
