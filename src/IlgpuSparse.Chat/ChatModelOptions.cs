using IlgpuSparse.Attention;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;

namespace IlgpuSparse.Chat;

/// <summary>How a <see cref="ChatModel"/> is opened.</summary>
public sealed record ChatModelOptions
{
    /// <summary>Double Sparsity that leaves short contexts dense: a sixteenth of a few tokens is none.</summary>
    private static readonly AttentionOptions s_sparse = AttentionOptions.Parse("double-sparsity:tokens=1/16,min-tokens=128,dense-below=512");

    /// <summary>The longest context that is taken when <see cref="Context"/> says nothing.</summary>
    private const int UsualContext = 8192;

    /// <summary>Which backend computes; see <see cref="ComputeBackends.Create"/>.</summary>
    public string Backend { get; init; } = "auto";

    /// <summary>Threads of the CPU backend; 0 for one a core.</summary>
    public int Threads { get; init; }

    /// <summary>Precision of products of many rows on tensor cores.</summary>
    public ProductPrecision Precision { get; init; } = ProductPrecision.Single;

    /// <summary>Tokens that the cache holds, over all texts; 0 for what the model was made for, at most 8,192.</summary>
    public int Context { get; init; }

    /// <summary>Texts that are continued at once.</summary>
    public int Parallel { get; init; } = 1;

    /// <summary>Element type of K and V.</summary>
    public KvFormat KvFormat { get; init; } = KvFormat.F16;

    /// <summary>How decode steps attend; null for Double Sparsity (a sixteenth of the tokens, at least 128; dense below 512), without a channel map by those of the texts on the CPU, and full attention on a GPU.</summary>
    public AttentionOptions? Attention { get; init; }

    /// <summary>The channel map; null for the one beside the model, <c>none</c> for none at all.</summary>
    public string? ChannelMap { get; init; }

    /// <summary>The chat template: a name of <see cref="ChatTemplate.Names"/>, a file, or null for the one that the model carries (<c>plain</c> where it carries none).</summary>
    public string? Template { get; init; }

    /// <summary>Limits of the engine.</summary>
    public EngineOptions Engine { get; init; } = new();

    /// <summary>Most tokens of an answer where the request says nothing.</summary>
    public int MaxTokens { get; init; } = 512;

    /// <summary>What <see cref="ChannelMap"/> is for no map at all.</summary>
    internal const string NoMap = "none";

    /// <summary><see cref="Attention"/> for a model with or without a channel map; <paramref name="online"/> where texts make maps of their own at no loss of speed.</summary>
    internal AttentionOptions AttentionFor(bool hasChannels, bool online)
    {
        if (hasChannels || ChannelMap == NoMap) return Attention ?? (hasChannels ? s_sparse : AttentionOptions.Dense);
        return (Attention ?? (online ? s_sparse : AttentionOptions.Dense)).WithOwnMaps();
    }

    /// <summary><see cref="Context"/> for a model that was made for <paramref name="made"/> tokens.</summary>
    internal int ContextFor(int made) => Context > 0 ? Context : Math.Min(made, UsualContext);
}
