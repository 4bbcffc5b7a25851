using System.Text.Json;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Times of PyTorch on the same device, one JSON object a line: <c>what</c> is <c>sdpa</c> or <c>torch-double-sparsity</c>, with <c>hq</c>, <c>hk</c>, <c>s</c> and <c>us</c>; fp16, batch 1, 128 channels a head.</summary>
internal sealed class AttentionBaseline
{
    private const int HeadDim = 128;

    private readonly Dictionary<(int Heads, int KvHeads, int Context), double> _sdpa = [];
    private readonly Dictionary<(int Heads, int KvHeads, int Context), double> _doubleSparsity = [];

    private AttentionBaseline() { }

    /// <summary>Reads a file.</summary>
    /// <exception cref="FormatException">A line is not of that form, or there is no time in the file.</exception>
    public static AttentionBaseline Load(string path) => Parse(File.ReadLines(path), path);

    /// <summary>Reads lines; <paramref name="source"/> is for messages. Lines of other measurements and of failed ones are passed over.</summary>
    /// <exception cref="FormatException">A line is not of that form, or there is no time among them.</exception>
    public static AttentionBaseline Parse(IEnumerable<string> lines, string source)
    {
        var baseline = new AttentionBaseline();
        BaselineLines.Each(lines, source, baseline.Add);
        if (baseline._sdpa.Count + baseline._doubleSparsity.Count == 0) throw new FormatException($"{source} holds no baseline: expected lines with \"what\": \"sdpa\" or \"torch-double-sparsity\"");
        return baseline;
    }

    /// <summary>The fastest SDPA, µs; null when it was not measured.</summary>
    public double? Sdpa(int heads, int kvHeads, int context) => _sdpa.TryGetValue((heads, kvHeads, context), out double us) ? us : null;

    /// <summary>Double Sparsity of PyTorch operations, µs; null when it was not measured.</summary>
    public double? DoubleSparsity(int heads, int kvHeads, int context) => _doubleSparsity.TryGetValue((heads, kvHeads, context), out double us) ? us : null;

    /// <summary><paramref name="row"/> with the times to compare it with, if it is of a step of the same kind.</summary>
    public BenchRow Compare(BenchRow row) => row is not { What: BenchRow.Step, Batch: 1, KvFormat: "f16", HeadDim: HeadDim } ? row : row with
    {
        SdpaMicroseconds = Sdpa(row.Heads, row.KvHeads, row.Context),
        TorchMicroseconds = DoubleSparsity(row.Heads, row.KvHeads, row.Context),
    };

    private void Add(JsonElement row)
    {
        var times = row.GetProperty("what").GetString() switch
        {
            "sdpa" => _sdpa,
            "torch-double-sparsity" => _doubleSparsity,
            _ => null,
        };
        if (times is null || row.TryGetProperty("error", out _)) return;
        var key = (row.GetProperty("hq").GetInt32(), row.GetProperty("hk").GetInt32(), row.GetProperty("s").GetInt32());
        double us = row.GetProperty("us").GetDouble();
        if (!(us > 0)) throw new FormatException($"a time of {us} µs");
        times[key] = times.TryGetValue(key, out double best) ? Math.Min(best, us) : us;
    }
}
