using BenchmarkDotNet.Attributes;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Benchmarks;

/// <summary>One decode step at 32K tokens: dense (the baseline), the whole sparse step at 1/16, its parts, and merely reading the cache.</summary>
public class DecodeAttentionBenchmark : IDisposable
{
    private AttentionWorkload _work = null!;

    /// <summary>Query heads, kv heads, channels a head.</summary>
    [Params("32x32x128", "32x8x128")]
    public string Shape { get; set; } = "";

    /// <summary>Element type of K and V.</summary>
    [Params(KvFormat.F16, KvFormat.BF16, KvFormat.F32)]
    public KvFormat Format { get; set; }

    /// <summary>Fills the caches.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _work = new AttentionWorkload(Shapes.Parse(Shape), Format, tokens: 32768);
        _work.Score(); // so that Select has something to choose from
    }

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _work.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Attention to all tokens.</summary>
    [Benchmark(Baseline = true)]
    public void Dense() => _work.Dense();

    /// <summary>The yardstick: every byte that <see cref="Dense"/> needs is read, and nothing done with it.</summary>
    [Benchmark]
    public void Read() => _work.Read();

    /// <summary>Label, scores, selection and attention to the selected tokens.</summary>
    [Benchmark]
    public void SparseStep() => _work.SparseStep();

    /// <summary>Scores alone.</summary>
    [Benchmark]
    public void Score() => _work.Score();

    /// <summary>Selection alone.</summary>
    [Benchmark]
    public void Select() => _work.Select();

    /// <summary>Attention to given tokens alone.</summary>
    [Benchmark]
    public void Selected() => _work.Selected();
}
