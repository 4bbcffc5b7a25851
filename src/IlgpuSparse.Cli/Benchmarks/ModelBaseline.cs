namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Rates of PyTorch for a model of the Llama 2 7B shape in fp16 on the same device, one JSON object a line: <c>what</c> is <c>prefill-layer</c> with <c>s</c> and <c>tflops</c>, or
/// <c>decode-llama-2-7b</c> with <c>s</c> and <c>tokens_per_s</c>. Other lines are passed over.
/// </summary>
internal sealed class ModelBaseline
{
    private const string Model = "llama-2-7b";

    private readonly Dictionary<(string What, int Context), double> _rates = [];

    /// <summary>Reads a file.</summary>
    /// <exception cref="FormatException">A line is not of that form, or there is no rate in the file.</exception>
    public static ModelBaseline Load(string path)
    {
        var baseline = new ModelBaseline();
        BaselineLines.Each(File.ReadLines(path), path, row =>
        {
            string what = row.GetProperty("what").GetString()!;
            if (what == "prefill-layer") baseline._rates[(ModelBenchmark.Prefill, row.GetProperty("s").GetInt32())] = row.GetProperty("tflops").GetDouble();
            else if (what == "decode-" + Model) baseline._rates[(ModelBenchmark.Decode, row.GetProperty("s").GetInt32())] = row.GetProperty("tokens_per_s").GetDouble();
        });
        if (baseline._rates.Count == 0) throw new FormatException($"{path} holds no baseline: expected lines with \"what\": \"prefill-layer\" or \"decode-{Model}\"");
        return baseline;
    }

    /// <summary><paramref name="row"/> with the rate to compare it with, if it is of the same kind; PyTorch's decode is dense, whatever the row's attention.</summary>
    public BenchRow Compare(BenchRow row) =>
        row.Batch == 1 && row.Model?.StartsWith(Model + " f16", StringComparison.Ordinal) == true && _rates.TryGetValue((row.What, row.Context), out double rate) ? row with { PyTorch = rate } : row;
}
