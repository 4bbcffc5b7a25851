using IlgpuSparse.Attention;
using IlgpuSparse.Cache;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One point of the grid that benchmarks of whole models measure.</summary>
/// <param name="Context">Tokens of the prompt, or of each sequence before a step.</param>
/// <param name="Batch">Sequences of a step; 1 for prefill.</param>
/// <param name="Attention">Attention of decode steps.</param>
/// <param name="Placement">Where K and V lie.</param>
/// <param name="Hot">Rows that stay on the device, as <c>--kv-hot</c> says.</param>
/// <param name="Prediction">Whether rows are brought ahead.</param>
internal sealed record ModelConfiguration(int Context, int Batch, AttentionOptions Attention, KvPlacement Placement = KvPlacement.Device, string Hot = "0", KvPrediction Prediction = KvPrediction.Off)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{Context:N0} tokens{(Batch > 1 ? $" x {Batch}" : "")}, {Attention}{(Placement == KvPlacement.Host ? $", K and V on the host{(Hot == "0" ? "" : $", hot {Hot}")}{(Prediction == KvPrediction.Off ? "" : $", predicted, {Prediction}".ToLowerInvariant())}" : "")}";
}
