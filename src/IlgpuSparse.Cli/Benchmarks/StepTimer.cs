using System.Diagnostics;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Times operations of a backend that are run on one layer's memory after the other: by events on CUDA, by the clock elsewhere; launched one by one, and on CUDA also replayed from a graph
/// of the whole rotation. A sample is a whole rotation, divided by its steps.
/// </summary>
internal sealed class StepTimer : IDisposable
{
    private const int LeastSteps = 8;
    private const double WarmMicroseconds = 20_000;

    private readonly ComputeBackend _backend;
    private readonly GpuTimer? _events;
    private readonly int _samples;
    private readonly CancellationToken _cancellation;

    /// <summary>Takes <paramref name="samples"/> measurements of everything.</summary>
    public StepTimer(ComputeBackend backend, int samples, CancellationToken cancellation)
    {
        (_backend, _samples, _cancellation) = (backend, samples, cancellation);
        if (backend is GpuBackend gpu) _events = new GpuTimer(gpu.Device);
    }

    /// <summary>Whether <see cref="Replayed"/> can be asked.</summary>
    public bool HasGraphs => _backend.Records;

    /// <summary>One call after the other, each sample a rotation over <paramref name="layers"/>.</summary>
    public Timing Launched(Action<int> step, int layers)
    {
        void Rotation()
        {
            for (int layer = 0; layer < layers; layer++) step(layer);
        }
        return Sample(Rotation, layers);
    }

    /// <summary>A graph of the rotation (of several, when it is short), and how many kernels and copies a step has in it.</summary>
    /// <exception cref="NotSupportedException"><see cref="HasGraphs"/> is false.</exception>
    public (Timing Timing, double NodesPerStep) Replayed(Action<int> step, int layers)
    {
        int steps = layers * ((LeastSteps + layers - 1) / layers);
        using var graph = _backend.Record(() =>
        {
            for (int i = 0; i < steps; i++) step(i % layers);
        });
        return (Sample(graph.Run, steps), (double)graph.Nodes / steps);
    }

    private Timing Sample(Action run, int steps)
    {
        long start = Stopwatch.GetTimestamp();
        do
        {
            _cancellation.ThrowIfCancellationRequested();
            run();
            _backend.Synchronize();
        } while (Stopwatch.GetElapsedTime(start).TotalMicroseconds < WarmMicroseconds);
        var times = new List<double>(_samples);
        while (times.Count < _samples)
        {
            _cancellation.ThrowIfCancellationRequested();
            times.Add(Time(run) / steps);
        }
        return Timing.Of(times);
    }

    private double Time(Action run)
    {
        if (_events is null)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            _backend.Synchronize();
            return Stopwatch.GetElapsedTime(start).TotalMicroseconds;
        }
        // a run in front of the measured one: the device has work while the host launches, so that its time alone is counted
        if (HasGraphs) run();
        _events.Start();
        run();
        _events.Stop();
        return _events.Microseconds;
    }

    /// <inheritdoc/>
    public void Dispose() => _events?.Dispose();
}
