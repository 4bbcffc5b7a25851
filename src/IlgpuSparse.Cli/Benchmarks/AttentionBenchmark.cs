using System.Diagnostics;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Checks and times the attention of one decode step, one configuration after the other, on a backend.</summary>
internal sealed class AttentionBenchmark : IDisposable
{
    private const int MaxLayers = 512;
    private const long LeastColdBytes = 128 << 20;
    private const int LeastPattern = 1 << 16, MostPattern = 1 << 24;

    private readonly ComputeBackend _backend;
    private readonly RandomPattern _pattern;
    private readonly StepTimer _timer;
    private readonly Yardstick _yardstick;
    private readonly long _coldBytes;
    private readonly bool _stages;
    private readonly bool _tunings;

    /// <summary>Prepares for <paramref name="configurations"/>, the largest of which decides how many random numbers are drawn.</summary>
    /// <param name="session">Where and how to measure.</param>
    /// <param name="configurations">What will be measured.</param>
    /// <param name="stages">Whether the parts of a step are timed alone too.</param>
    /// <param name="tunings">Whether the last part, attending, is timed with every launch choice of its tensor-core kernel.</param>
    public AttentionBenchmark(BenchSession session, IReadOnlyList<AttentionConfiguration> configurations, bool stages, bool tunings)
    {
        _backend = session.Backend;
        _yardstick = session.Yardstick;
        _stages = stages || tunings;
        _tunings = tunings;
        _coldBytes = session.Settings.ColdBytes ?? DefaultColdBytes(_backend);
        long floats = configurations.Max(AttentionWorkload.PatternFloats);
        long tokens = configurations.Max(c => (long)c.Context * c.Layout.KvHeads * c.Layout.HeadDim);
        _pattern = new RandomPattern(_backend, session.Settings.Seed, (int)Math.Max(2 * floats, Math.Clamp(tokens, LeastPattern, MostPattern)));
        _timer = new StepTimer(_backend, session.Settings.Samples, session.Cancellation);
    }

    /// <summary>Rows of <paramref name="configuration"/>: the step, its stages if they were asked for; or one row that says what went wrong.</summary>
    public IReadOnlyList<BenchRow> Measure(AttentionConfiguration configuration)
    {
        var row = Describe(configuration, BenchRow.Step);
        try
        {
            int layers = Layers(configuration);
            CheckHostMemory(configuration, layers);
            using var workload = new AttentionWorkload(_backend, _pattern, configuration, layers);
            return Measure(configuration, workload, row with { Layers = layers });
        }
        catch (InsufficientMemoryException e)
        {
            return [row with { Problem = "out of memory: " + e.Message }];
        }
        catch (Exception e) when (e is AcceleratorException or CudaDriverException or NotSupportedException or ArgumentException or InvalidOperationException)
        {
            return [row with { Problem = e.Message, Failed = true }];
        }
    }

    private List<BenchRow> Measure(AttentionConfiguration configuration, AttentionWorkload workload, BenchRow row)
    {
        // the last layer, whose outputs a rotation leaves
        int last = workload.Layers - 1;
        var check = new AttentionCheck(workload, configuration, last);
        string? problem = check.Run(_pattern.Next);
        row = row with { Error = check.Error, Correlation = check.Correlation };
        if (problem is not null) return [row with { Problem = "wrong result: " + problem, Failed = true }];

        row = Time(row, workload, workload.Step, workload.StepBytes);
        problem = check.Outputs();
        row = row with { Error = Math.Max(row.Error!.Value, check.Error) };
        if (problem is not null) return [row with { Problem = "wrong result after the timed runs: " + problem, Failed = true }];
        var rows = new List<BenchRow> { row };
        if (!_stages) return rows;
        foreach (var (what, run, size) in Stages(configuration, workload))
        {
            var stage = Time(Describe(configuration, what) with { Layers = workload.Layers }, workload, run, size);
            // whole steps leave outputs
            if (what.StartsWith(BenchRow.Step, StringComparison.Ordinal) && check.Outputs() is { } wrong) stage = Describe(configuration, what) with { Problem = "wrong result after the timed runs: " + wrong, Failed = true };
            rows.Add(stage);
        }
        return rows;
    }

    private BenchRow Time(BenchRow row, AttentionWorkload workload, Action<int> step, long bytes)
    {
        AttentionCheck.Poison(workload.Results);
        row = row with { Launched = _timer.Launched(step, workload.Layers), Bytes = bytes };
        if (_timer.HasGraphs)
        {
            // again: what is judged afterwards has to come from the graph
            AttentionCheck.Poison(workload.Results);
            var (graph, nodes) = _timer.Replayed(step, workload.Layers);
            row = row with { Graph = graph, Nodes = nodes };
        }
        return row with { Share = row.GigabytesPerSecond / _yardstick.GigabytesPerSecond };
    }

    private IEnumerable<(string What, Action<int> Run, long Bytes)> Stages(AttentionConfiguration configuration, AttentionWorkload workload)
    {
        var shape = workload.Shape;
        long kv = KvBytes(configuration), labels = workload.Policy.AuxiliaryBytesPerToken / workload.Layers, batch = configuration.Batch, context = configuration.Context;
        foreach (string what in Stepping().Concat(Fusing(workload))) yield return (what, workload.Step, workload.StepBytes);
        if (_tunings && _backend is GpuBackend { Device.Kind: GpuKind.Cuda } && workload.Policy.AppendsRows) yield return ("step, K and V appended before", workload.StepAfterAppending, workload.StepBytes);
        if (!_tunings) yield return ("append", workload.Append, batch * (2L * shape.KvHeads * shape.HeadDim * sizeof(float) + kv + labels));
        if (workload.Policy is not DoubleSparsityPolicy policy || !policy.IsSparse(0, workload.Batch))
        {
            foreach (string what in Attending()) yield return (what, layer => workload.Policy.Attend(layer, workload.Batch, workload.Queries, workload.Results), workload.StepBytes);
            yield break;
        }
        long sets = policy.Sets.Sets, budget = configuration.Attention.Rule.Budget(configuration.Context);
        long scoring = batch * context * (labels + sets * sizeof(float)), indices = batch * sets * budget * sizeof(int);
        if (!_tunings) yield return ("score", layer => _backend.Score(shape, policy.Labels(layer)!, workload.Batch, workload.Queries, configuration.Attention.Reduction, policy.Scores), scoring);
        foreach (string what in Selecting()) yield return (what, layer => policy.Select(layer, workload.Batch, workload.Queries), scoring + indices);
        foreach (string what in Attending())
            yield return (what, layer => policy.AttendSelected(layer, workload.Batch, workload.Queries, workload.Results), workload.StepBytes - batch * context * labels + indices);
    }

    // As for attending: what early starts bring.
    private IEnumerable<string> Stepping()
    {
        if (!_tunings || _backend is not GpuBackend { Device.StartsKernelsEarly: true } gpu) yield break;
        gpu.Device.StartsKernelsEarly = false;
        yield return "step, kernels one after another";
        gpu.Device.StartsKernelsEarly = true;
    }

    // As for attending: the step as one kernel, of clusters and without, and as several, where there is the one.
    private IEnumerable<string> Fusing(AttentionWorkload workload)
    {
        if (_backend is not GpuBackend gpu || workload.Policy is not DoubleSparsityPolicy policy || !policy.IsSparse(0, workload.Batch)) yield break;
        var standard = gpu.Fused.Steps;
        try
        {
            gpu.Fused.Steps = FusedSteps.On;
            if (!Launches(workload, () => gpu.Fused.Launches)) yield break;
            yield return "step, one kernel";
            foreach (int groups in FusedStepKernel.Groups.Where(_ => _tunings))
            {
                gpu.Fused.Groups = groups;
                if (Launches(workload, () => gpu.Fused.Launches)) yield return $"step, one kernel of {groups} groups a set";
            }
            gpu.Fused.Groups = null;
            gpu.Fused.Steps = FusedSteps.Resident;
            if (Launches(workload, () => gpu.ResidentStep.Launches)) yield return "step, one kernel without clusters";
            gpu.Fused.Steps = FusedSteps.Off;
            yield return "step, kernels apart";
        }
        finally
        {
            // also when a time could not be taken
            (gpu.Fused.Steps, gpu.Fused.Groups) = (standard, null);
        }
    }

    // Whether a step is one of the launches that are counted.
    private static bool Launches(AttentionWorkload workload, Func<int> launches)
    {
        int before = launches();
        workload.Step(workload.Layers - 1);
        return launches() > before;
    }

    // As for attending.
    private IEnumerable<string> Selecting()
    {
        yield return "select";
        if (!_tunings || _backend is not GpuBackend { Device.Kind: GpuKind.Cuda } gpu) yield break;
        int standard = gpu.OneGroupTokens;
        foreach (int tokens in (int[])[2048, 8192, 16384])
        {
            gpu.OneGroupTokens = tokens;
            yield return $"select, one group up to {tokens:N0} tokens";
        }
        gpu.OneGroupTokens = standard;
    }

    // The names of the attend stage, each to be timed before the next is asked for: one, or one for every launch choice, which is in force meanwhile.
    private IEnumerable<string> Attending()
    {
        yield return "attend";
        if (!_tunings || _backend is not GpuBackend { Device.Kind: GpuKind.Cuda } gpu) yield break;
        var (dense, selected) = (gpu.DenseTuning, gpu.SelectedTuning);
        foreach (var tuning in DecodeTuning.Candidates)
        {
            gpu.DenseTuning = gpu.SelectedTuning = tuning;
            yield return $"attend, {tuning}";
        }
        (gpu.DenseTuning, gpu.SelectedTuning) = (dense, selected);
    }

    private static BenchRow Describe(AttentionConfiguration c, string what) => new()
    {
        What = what,
        Heads = c.Layout.Heads,
        KvHeads = c.Layout.KvHeads,
        HeadDim = c.Layout.HeadDim,
        Context = c.Context,
        Batch = c.Batch,
        KvFormat = c.KvFormat.ToString().ToLowerInvariant(),
        Attention = c.Attention.ToString(),
    };

    // As many that what is read between two visits of a layer exceeds the caches.
    private int Layers(AttentionConfiguration c)
    {
        long read = c.Context * KvBytes(c);
        if (c.Attention.Kind != AttentionKind.Dense)
        {
            long labels = Math.Max(1, (long)c.Context * c.Layout.KvHeads * c.Attention.Channels * c.Attention.LabelFormat.Bits() / 8), selected = c.Attention.Rule.Budget(c.Context) * KvBytes(c);
            // a stage reads one of the two
            read = _stages ? Math.Min(labels, selected) : labels + selected;
        }
        return (int)Math.Clamp((_coldBytes + read * c.Batch - 1) / (read * c.Batch), 1, MaxLayers);
    }

    /// <summary>Bytes that runs touch before one comes back to the same memory.</summary>
    internal static long DefaultColdBytes(ComputeBackend backend) => backend is not GpuBackend gpu ? LeastColdBytes : gpu.Device.Accelerator switch
    {
        // more than twice, so that nothing of the last visit is left whatever the cache keeps
        CudaAccelerator cuda => Math.Max(LeastColdBytes, cuda.L2CacheSize * 5L / 2),
        CPUAccelerator => 0, // it is not run for its times
        _ => LeastColdBytes,
    };

    private static long KvBytes(AttentionConfiguration c) => 2L * c.Layout.KvHeads * (c.Layout.HeadDim * c.KvFormat.ElementBytes() + (c.KvFormat == KvFormat.Int8 ? sizeof(float) : 0));

    // A device says itself when it is full; the operating system ends the program.
    private void CheckHostMemory(AttentionConfiguration configuration, int layers)
    {
        if (_backend is GpuBackend { Device.Kind: GpuKind.Cuda or GpuKind.OpenCl }) return;
        var memory = GC.GetGCMemoryInfo();
        long planned = AttentionWorkload.PlannedBytes(configuration, layers), free = memory.TotalAvailableMemoryBytes - Process.GetCurrentProcess().WorkingSet64;
        if (planned > free) throw new InsufficientMemoryException($"{Bytes.Text(planned)} for {layers} layers, {Bytes.Text(free)} are left to this process");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        _pattern.Dispose();
    }
}
