using IlgpuSparse.Attention;
using IlgpuSparse.Chat;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;

namespace IlgpuSparse.Tests.Chat;

/// <summary>A local model as applications see it: an <see cref="IChatClient"/>.</summary>
public sealed class LlamaChatClientTests : IDisposable
{
    private const string Text = "It was a dark night, and the old captain";

    private readonly LlamaChatClient _client = LlamaChatClient.Open(TestFiles.Model, new ChatModelOptions { Backend = "cpu", Threads = 2, Context = 2048, Parallel = 2, MaxTokens = 12 });

    private static ChatOptions Greedy(int? tokens = null) => new() { Temperature = 0, MaxOutputTokens = tokens };

    [Fact]
    public async Task Answers_with_usage_and_a_reason()
    {
        var response = await _client.GetResponseAsync(Text, Greedy());
        Assert.StartsWith("was not in the least disturbed.", response.Text.TrimStart(), StringComparison.Ordinal);
        Assert.Equal((11L, 12L, 23L), (response.Usage!.InputTokenCount, response.Usage.OutputTokenCount, response.Usage.TotalTokenCount));
        Assert.Equal(ChatFinishReason.Length, response.FinishReason);
        Assert.Equal("books-16m-q8_0", response.ModelId);
        Assert.Equal(ChatRole.Assistant, Assert.Single(response.Messages).Role);
    }

    [Fact]
    public async Task Streams_the_same_and_is_repeated_by_its_seed()
    {
        var options = new ChatOptions { Temperature = 0.9f, TopK = 50, Seed = 7, AdditionalProperties = new() { ["min_p"] = 0.02, ["repetition_penalty"] = 1.1 } };
        string whole = (await _client.GetResponseAsync(Text, options)).Text, streamed = "";
        int parts = 0;
        await foreach (var update in _client.GetStreamingResponseAsync(Text, options))
        {
            streamed += update.Text;
            parts++;
        }
        Assert.Equal(whole, streamed);
        Assert.InRange(parts, 5, 13);
        Assert.NotEqual(whole, (await _client.GetResponseAsync(Text, new ChatOptions { Temperature = 0.9f, Seed = 8 })).Text);
    }

    [Fact]
    public async Task Stops_at_a_sequence()
    {
        var options = Greedy();
        options.StopSequences = ["disturbed", "xyz"];
        var response = await _client.GetResponseAsync(Text, options);
        Assert.EndsWith("in the least ", response.Text, StringComparison.Ordinal);
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
    }

    [Fact]
    public async Task The_next_turn_starts_from_the_cache()
    {
        List<ChatMessage> conversation = [new(ChatRole.User, string.Concat(Enumerable.Repeat("The wind was in the trees, and nothing else moved on the hill. ", 60)))];
        var first = await _client.GetResponseAsync(conversation, Greedy());
        conversation.AddRange(first.Messages);
        conversation.Add(new(ChatRole.User, "In the morning"));
        var second = await _client.GetResponseAsync(conversation, Greedy());
        Assert.InRange(second.Usage!.InputTokenCount!.Value - second.Usage.CachedInputTokenCount!.Value, 1, 30);
    }

    [Fact]
    public async Task Cancellation_ends_the_answer()
    {
        using var cancel = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var _ in _client.GetStreamingResponseAsync(Text, Greedy(1500), cancel.Token)) cancel.Cancel();
        });
        var engine = ((ChatModel)_client.GetService(typeof(ChatModel))!).Engine;
        for (int i = 0; i < 6000 && engine.Status.Active > 0; i++) await Task.Delay(10);
        Assert.Equal(0, engine.Status.Active);
    }

    [Fact]
    public async Task What_it_cannot_do_it_says()
    {
        await Assert.ThrowsAsync<NotSupportedException>(() => _client.GetResponseAsync(Text, new ChatOptions { Tools = [AIFunctionFactory.Create(() => 1)] }));
        await Assert.ThrowsAsync<NotSupportedException>(() => _client.GetResponseAsync(Text, new ChatOptions { ResponseFormat = ChatResponseFormat.Json }));
        await Assert.ThrowsAsync<NotSupportedException>(() => _client.GetResponseAsync(new ChatMessage(ChatRole.User, [new DataContent("data:image/png;base64,AAAA")])));
        await Assert.ThrowsAsync<ArgumentException>(() => _client.GetResponseAsync(Text, new ChatOptions { Temperature = -1 }));
        var e = await Assert.ThrowsAsync<ArgumentException>(() => _client.GetResponseAsync(string.Concat(Enumerable.Repeat("long ", 3000))));
        Assert.Contains("does not fit the context of 2,048", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Is_a_service_and_frees_what_it_took()
    {
        ChatModel model;
        await using (var services = new ServiceCollection().AddLlamaChatClient(TestFiles.Model, new ChatModelOptions { Backend = "cpu", Threads = 1, Context = 512, Attention = AttentionOptions.Dense }).BuildServiceProvider())
        {
            var client = services.GetRequiredService<IChatClient>();
            Assert.Same(client, services.GetRequiredService<IChatClient>());
            model = client.GetRequiredService<ChatModel>();
            Assert.Same(model, services.GetRequiredService<ChatModel>());
            Assert.Equal("books-16m-q8_0", client.GetService<ChatClientMetadata>()!.DefaultModelId);
            Assert.NotEmpty((await client.GetResponseAsync(Text, Greedy(3))).Text);
        }
        Assert.Equal(0, model.Backend.Memory.LiveBytes);
    }

    [Fact]
    public void Bad_options_end_with_one_message_and_leave_nothing()
    {
        Assert.Contains("neither a file nor one of", Assert.Throws<ArgumentException>(() => ChatModel.Open(TestFiles.Model, new ChatModelOptions { Template = "alpaca" })).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => ChatModel.Open("nowhere.gguf"));
        Assert.Contains("carries no tokenizer", Assert.Throws<IlgpuSparse.Model.ModelFormatException>(() => ChatModel.Open(TestFiles.Data("checkpoints", "llama-mha"))).Message, StringComparison.Ordinal);
    }

    public void Dispose() => _client.Dispose();
}
