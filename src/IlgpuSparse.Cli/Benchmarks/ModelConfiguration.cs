using IlgpuSparse.Attention;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One point of the grid that <c>bench prefill</c> and <c>bench decode</c> measure.</summary>
/// <param name="Context">Tokens of the prompt, or of each sequence before a step.</param>
/// <param name="Batch">Sequences of a step; 1 for prefill.</param>
/// <param name="Attention">Attention of decode steps.</param>
internal sealed record ModelConfiguration(int Context, int Batch, AttentionOptions Attention)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Context:N0} tokens{(Batch > 1 ? $" x {Batch}" : "")}, {Attention}";
}
