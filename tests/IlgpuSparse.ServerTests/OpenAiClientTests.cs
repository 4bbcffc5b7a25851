using System.ClientModel;
using System.Net.Http.Json;
using System.Text.Json;
using OpenAI;
using OpenAI.Chat;

namespace IlgpuSparse.ServerTests;

/// <summary>The OpenAI client for .NET against the running server.</summary>
public class OpenAiClientTests(ServerFixture server)
{
    private const string Question = "It was a dark night, and the old captain";

    private ChatClient Client() => new(server.Model.Name, new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1"), NetworkTimeout = TimeSpan.FromMinutes(5) });

#pragma warning disable OPENAI001 // the seed is experimental there
    private static ChatCompletionOptions Options(int seed, int tokens = 12) => new() { Seed = seed, MaxOutputTokenCount = tokens, Temperature = 0.8f };
#pragma warning restore OPENAI001

    [Fact]
    public async Task Lists_the_model()
    {
        var models = new OpenAIClient(new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1") }).GetOpenAIModelClient();
        Assert.Equal(server.Model.Name, Assert.Single((await models.GetModelsAsync()).Value).Id);
        Assert.Equal(server.Model.Name, (await models.GetModelAsync(server.Model.Name)).Value.Id);
    }

    [Fact]
    public async Task Streams_what_it_answers_at_once_with_usage()
    {
        var client = Client();
        var whole = (await client.CompleteChatAsync([new UserChatMessage(Question)], Options(3))).Value;
        Assert.Equal(ChatFinishReason.Length, whole.FinishReason);
        Assert.Equal((11, 12, 23), (whole.Usage.InputTokenCount, whole.Usage.OutputTokenCount, whole.Usage.TotalTokenCount));
        string text = "";
        ChatTokenUsage? usage = null;
        ChatFinishReason? reason = null;
        await foreach (var update in client.CompleteChatStreamingAsync([new UserChatMessage(Question)], Options(3)))
        {
            text += string.Concat(update.ContentUpdate.Select(c => c.Text));
            usage ??= update.Usage;
            reason ??= update.FinishReason;
        }
        Assert.Equal(whole.Content[0].Text, text);
        Assert.Equal((11, 12), (usage!.InputTokenCount, usage.OutputTokenCount));
        Assert.Equal(10, usage.InputTokenDetails.CachedTokenCount);
        Assert.Equal(ChatFinishReason.Length, reason);
    }

    [Fact]
    public async Task Stops_at_a_text_that_is_not_part_of_the_answer()
    {
        var options = Options(3, 30);
        // twice, so that the second goes on from the prompt as this one has left it, as the third does: sums of another order turn a draw that lies on an edge
        await Client().CompleteChatAsync([new UserChatMessage(Question)], options);
        string free = (await Client().CompleteChatAsync([new UserChatMessage(Question)], options)).Value.Content[0].Text;
        string stop = free[(free.Length / 2)..(free.Length / 2 + 5)];
        options.StopSequences.Add(stop);
        var stopped = (await Client().CompleteChatAsync([new UserChatMessage(Question)], options)).Value;
        Assert.Equal(free[..free.IndexOf(stop, StringComparison.Ordinal)], stopped.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);
    }

    [Fact]
    public async Task Tells_log_probabilities()
    {
        var options = Options(3, 6);
        options.IncludeLogProbabilities = true;
        options.TopLogProbabilityCount = 3;
        options.Temperature = 0;
        var answer = (await Client().CompleteChatAsync([new UserChatMessage(Question)], options)).Value;
        Assert.Equal(6, answer.ContentTokenLogProbabilities.Count);
        Assert.All(answer.ContentTokenLogProbabilities, t =>
        {
            Assert.Equal(3, t.TopLogProbabilities.Count);
            Assert.Equal(t.LogProbability, t.TopLogProbabilities[0].LogProbability);
            Assert.InRange(t.LogProbability, -10, 0);
        });
        Assert.Equal(answer.Content[0].Text.TrimStart(), string.Concat(answer.ContentTokenLogProbabilities.Select(t => t.Token)).TrimStart());
    }

    [Fact]
    public async Task Completions_continue_a_text()
    {
        async Task<JsonElement> Complete(object body) => await (await server.Http.PostAsJsonAsync("v1/completions", body)).EnsureSuccessStatusCode().Content.ReadFromJsonAsync<JsonElement>();
        var answer = await Complete(new { prompt = Question, max_tokens = 12, temperature = 0, full_attention = true, logprobs = 2 });
        var choice = answer.GetProperty("choices")[0];
        Assert.StartsWith(" was not in the least disturbed.", choice.GetProperty("text").GetString(), StringComparison.Ordinal);
        Assert.Equal(12, choice.GetProperty("logprobs").GetProperty("token_logprobs").GetArrayLength());
        var byIds = await Complete(new { prompt = server.Model.Tokenizer.Encode(Question), max_tokens = 12, temperature = 0, full_attention = true });
        Assert.Equal(choice.GetProperty("text").GetString(), byIds.GetProperty("choices")[0].GetProperty("text").GetString());

        string streamed = "";
        using var response = await server.Http.PostAsJsonAsync("v1/completions", new { prompt = Question, max_tokens = 12, temperature = 0, full_attention = true, stream = true });
        foreach (string line in (await response.Content.ReadAsStringAsync()).Split("\n\n").Where(l => l.StartsWith("data: {", StringComparison.Ordinal)))
            streamed += JsonDocument.Parse(line[6..]).RootElement.GetProperty("choices")[0].GetProperty("text").GetString();
        Assert.Equal(choice.GetProperty("text").GetString(), streamed);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(64)]
    public async Task Many_at_once_get_what_each_would_get_alone(int count)
    {
        var client = Client();
        async Task<string> Ask(int i, bool stream)
        {
            ChatMessage[] messages = [new SystemChatMessage("A story of the sea."), new UserChatMessage($"{Question} number {i % 16} said")];
            if (!stream) return (await client.CompleteChatAsync(messages, Options(i % 16, 4 + i % 9))).Value.Content[0].Text;
            string text = "";
            await foreach (var update in client.CompleteChatStreamingAsync(messages, Options(i % 16, 4 + i % 9))) text += string.Concat(update.ContentUpdate.Select(c => c.Text));
            return text;
        }
        string[] together = await Task.WhenAll(Enumerable.Range(0, count).Select(i => Ask(i, i % 2 == 1)));
        for (int i = 0; i < Math.Min(count, 16); i++) Assert.Equal(await Ask(i, false), together[i]);
    }

    [Fact]
    public async Task A_client_that_goes_away_ends_its_answer()
    {
        using var cancel = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (var update in Client().CompleteChatStreamingAsync([new UserChatMessage(Question)], Options(1, 5000), cancel.Token))
                if (update.ContentUpdate.Count > 0) cancel.Cancel();
        });
        for (int i = 0; i < 6000 && server.Model.Engine.Status.Active > 0; i++) await Task.Delay(20);
        Assert.Equal(0, server.Model.Engine.Status.Active);
    }

    [Fact]
    public async Task Errors_reach_the_client_with_their_message()
    {
        var e = await Assert.ThrowsAsync<ClientResultException>(() => new ChatClient("gpt-4o", new ApiKeyCredential("none"), new OpenAIClientOptions { Endpoint = new Uri(server.Address, "v1") }).CompleteChatAsync([new UserChatMessage("a")]));
        Assert.Equal(404, e.Status);
        Assert.Contains("books-16m", e.Message, StringComparison.Ordinal);
    }
}
