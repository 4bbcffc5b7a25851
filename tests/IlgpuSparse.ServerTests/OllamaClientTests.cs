using OllamaSharp;
using OllamaSharp.Models;
using OllamaSharp.Models.Chat;

namespace IlgpuSparse.ServerTests;

/// <summary>OllamaSharp against the running server.</summary>
public class OllamaClientTests(ServerFixture server)
{
    private OllamaApiClient Client() => new(new HttpClient { BaseAddress = server.Address, Timeout = TimeSpan.FromMinutes(5) }, server.Model.Name);

    [Fact]
    public async Task Lists_the_model()
    {
        using var client = Client();
        var model = Assert.Single(await client.ListLocalModelsAsync());
        Assert.Equal(server.Model.Name, model.Name);
        Assert.True(model.Size > 1_000_000);
        Assert.NotNull(await client.GetVersionAsync());
    }

    private static async Task<(string Text, ChatDoneResponseStream? Last)> Chat(OllamaApiClient client, string text, int seed, bool stream, int tokens = 10)
    {
        var request = new ChatRequest { Model = client.SelectedModel, Stream = stream, Messages = [new Message(ChatRole.User, text)], Options = new RequestOptions { Seed = seed, NumPredict = tokens } };
        string answer = "";
        ChatDoneResponseStream? last = null;
        await foreach (var part in client.ChatAsync(request))
        {
            answer += part?.Message.Content;
            last = part as ChatDoneResponseStream ?? last;
        }
        return (answer, last);
    }

    [Fact]
    public async Task Chats_streamed_and_at_once()
    {
        using var client = Client();
        var streamed = await Chat(client, "The sea was calm that evening", 5, stream: true);
        var whole = await Chat(client, "The sea was calm that evening", 5, stream: false);
        Assert.Equal(whole.Text, streamed.Text);
        Assert.NotEmpty(whole.Text);
        Assert.Equal(10, streamed.Last!.EvalCount);
        Assert.Equal("length", streamed.Last.DoneReason);
        Assert.True(streamed.Last.EvalDuration > 0);
    }

    [Fact]
    public async Task Generates()
    {
        using var client = Client();
        string text = "";
        await foreach (var part in client.GenerateAsync(new GenerateRequest { Model = client.SelectedModel, Prompt = "It was a dark night, and the old captain", Raw = true, Options = new RequestOptions { Temperature = 0, NumPredict = 8 } }))
            text += part?.Response;
        Assert.StartsWith(" was not in the least", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(64)]
    public async Task Many_at_once_get_what_each_would_get_alone(int count)
    {
        using var client = Client();
        var together = await Task.WhenAll(Enumerable.Range(0, count).Select(i => Chat(client, $"Chapter {i % 16}. The wind", i % 16, i % 2 == 0)));
        for (int i = 0; i < Math.Min(count, 16); i++) Assert.Equal((await Chat(client, $"Chapter {i}. The wind", i, false)).Text, together[i].Text);
    }
}
