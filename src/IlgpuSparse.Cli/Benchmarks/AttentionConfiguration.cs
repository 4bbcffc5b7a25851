using IlgpuSparse.Attention;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One point of the grid that <c>bench attention</c> measures.</summary>
/// <param name="Layout">Heads.</param>
/// <param name="Context">Tokens of each sequence, the current one counted.</param>
/// <param name="Batch">Sequences of the step.</param>
/// <param name="KvFormat">Storage of K and V.</param>
/// <param name="Attention">Which tokens are read.</param>
internal sealed record AttentionConfiguration(HeadLayout Layout, int Context, int Batch, KvFormat KvFormat, AttentionOptions Attention)
{
    /// <summary>Every combination; the context varies fastest.</summary>
    public static IReadOnlyList<AttentionConfiguration> Grid(
        IReadOnlyList<HeadLayout> layouts, IReadOnlyList<AttentionOptions> attentions, IReadOnlyList<int> batches, IReadOnlyList<int> contexts, KvFormat format) =>
        [.. from layout in layouts from attention in attentions from batch in batches from context in contexts select new AttentionConfiguration(layout, context, batch, format, attention)];

    /// <inheritdoc/>
    public override string ToString() => $"{Layout} {Context:N0} tokens{(Batch > 1 ? $" x {Batch}" : "")} {KvFormat.ToString().ToLowerInvariant()} {Attention}";
}
