using BenchmarkDotNet.Attributes;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Benchmarks;

/// <summary>Products with a feed-forward matrix of a 7B model in every weight format: one row (decode), four (a small batch), 256 (prefill).</summary>
public class LinearBenchmark : IDisposable
{
    private CpuBackend _backend = null!;
    private StreamedWeights _weights = null!;

    /// <summary>Format of the weights.</summary>
    [ParamsAllValues]
    public WeightFormat Format { get; set; }

    /// <summary>Rows of X.</summary>
    [Params(1, 4, 256)]
    public int Rows { get; set; }

    /// <summary>Fills the matrices.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _backend = new CpuBackend();
        _weights = new StreamedWeights(Format, StreamedWeights.TypicalOutputs, StreamedWeights.TypicalColumns, Rows);
    }

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The next matrix times X.</summary>
    [Benchmark]
    public void Multiply() => _weights.Multiply(_backend.Pool);
}
