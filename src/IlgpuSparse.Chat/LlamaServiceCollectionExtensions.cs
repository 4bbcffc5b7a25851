using IlgpuSparse.Chat;
using Microsoft.Extensions.AI;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Local models as services.</summary>
public static class LlamaServiceCollectionExtensions
{
    /// <summary>Adds a model, opened when it is first asked for, and an <see cref="IChatClient"/> of it; both are singletons and disposed with the container.</summary>
    /// <param name="services">The services.</param>
    /// <param name="path">A <c>.gguf</c> file or a Hugging Face directory.</param>
    /// <param name="options">How it is opened.</param>
    public static IServiceCollection AddLlamaChatClient(this IServiceCollection services, string path, ChatModelOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(path);
        services.AddSingleton(_ => ChatModel.Open(path, options));
        services.AddSingleton<IChatClient>(provider => new LlamaChatClient(provider.GetRequiredService<ChatModel>()));
        return services;
    }
}
