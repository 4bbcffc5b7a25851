using IlgpuSparse.Chat;
using IlgpuSparse.Cli.Serving;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;

[assembly: AssemblyFixture(typeof(IlgpuSparse.ServerTests.ServerFixture))]
[assembly: CollectionBehavior(CollectionBehavior.CollectionPerAssembly)]

namespace IlgpuSparse.ServerTests;

/// <summary>A real server with the model that travels with the tool, listening at a free port.</summary>
public sealed class ServerFixture : IAsyncLifetime
{
    private ChatServer _server = null!;

    public static string ModelPath => Path.Combine(AppContext.BaseDirectory, "models", "books-16m-q8_0.gguf");

    /// <summary>What computes: the environment's BACKEND, for a run on a GPU.</summary>
    internal static string Backend => Environment.GetEnvironmentVariable("BACKEND") ?? "cpu";

    public ChatModel Model { get; private set; } = null!;

    public Uri Address => _server.Address;

    public HttpClient Http { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Model = Open(new ChatModelOptions { Parallel = 8, MaxTokens = 16, Engine = new EngineOptions { QueueLimit = 128 } });
        _server = await ChatServer.StartAsync(Model, new ServerOptions { Port = 0, MaxBodyBytes = 256 << 10 });
        Http = new HttpClient { BaseAddress = Address };
    }

    // K and V in fp32: where sums of other orders are rounded to 16 bits, a draw on the edge between two tokens goes the other way a hundred times more often
    internal static ChatModel Open(ChatModelOptions options) => ChatModel.Open(ModelPath, options with { Backend = Backend, Threads = 2, KvFormat = KvFormat.F32 });

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _server.StopAsync();
        await _server.DisposeAsync();
        Model.Dispose();
    }
}
