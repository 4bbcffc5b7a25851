using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One point of the grid that benchmarks of whole models measure.</summary>
/// <param name="Context">Tokens of the prompt, or of each sequence before a step.</param>
/// <param name="Batch">Sequences of a step; 1 for prefill.</param>
/// <param name="Attention">Attention of decode steps.</param>
/// <param name="Placement">Where K and V lie.</param>
/// <param name="Hot">Rows that stay on the device, as <c>--kv-hot</c> says.</param>
/// <param name="Prediction">Whether rows are brought ahead.</param>
/// <param name="LateLeast">Which missed rows are fetched: <see cref="Llama.DecoderOptions.KvLateLeast"/>.</param>
/// <param name="KvFormat">Storage of K and V; null for that of the benchmark.</param>
/// <param name="Replay">Selections to attend to; null for the step's own.</param>
internal sealed record ModelConfiguration(int Context, int Batch, AttentionOptions Attention, KvPlacement Placement = KvPlacement.Device, string Hot = "0", KvPrediction Prediction = KvPrediction.Off, float LateLeast = 0, KvFormat? KvFormat = null, SelectionTrace? Replay = null)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{Context:N0} tokens{(Batch > 1 ? $" x {Batch}" : "")}, {Attention}{(Placement == KvPlacement.Host ? $", K and V on the host{(Hot == "0" ? "" : $", hot {Hot}")}{(Prediction == KvPrediction.Off ? "" : $", predicted, {PredictionText}")}" : "")}{(KvFormat is { } format ? $", {format.ToString().ToLowerInvariant()}" : "")}{(Replay is null ? "" : ", replayed")}";

    /// <summary>How rows are brought ahead, in a table.</summary>
    public string PredictionText => Prediction.ToString().ToLowerInvariant() + (Prediction == KvPrediction.Late && LateLeast > 0 ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $" from {LateLeast}") : "");
}
