using BenchmarkDotNet.Attributes;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Benchmarks;

/// <summary>A chunk of 512 tokens at the end of 8,192, fp16 K and V.</summary>
public class PrefillAttentionBenchmark : IDisposable
{
    private AttentionWorkload _work = null!;

    /// <summary>Query heads, kv heads, channels a head.</summary>
    [Params("8x8x128", "8x2x128", "6x2x64")]
    public string Shape { get; set; } = "";

    /// <summary>Fills the cache.</summary>
    [GlobalSetup]
    public void Setup() => _work = new AttentionWorkload(Shapes.Parse(Shape), KvFormat.F16, tokens: 8192, chunk: 512);

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _work.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Causal attention of the chunk.</summary>
    [Benchmark]
    public void Prefill() => _work.Prefill();
}
