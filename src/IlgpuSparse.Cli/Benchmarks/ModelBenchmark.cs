using System.Diagnostics;
using ILGPU.Runtime;
using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Times prefill and decode of a model with random weights, after a check that both compute the same.</summary>
internal sealed class ModelBenchmark : IDisposable
{
    /// <summary><see cref="BenchRow.What"/> of a whole prompt.</summary>
    public const string Prefill = "prefill";

    /// <summary><see cref="BenchRow.What"/> of one token for each sequence.</summary>
    public const string Decode = "decode";

    private const int FillTokens = 2048;

    // batches of queued steps have reached their size, and one has been read
    private const int QueueWarmSteps = 3 * TokenFeedback.BatchSteps - 1, QueueSteps = 4 * TokenFeedback.BatchSteps;

    // 40 rows take the path of long prompts; rounding to 16 bits makes a difference, an error a larger one
    private const int CheckTokens = 40;
    private const double MostDifference = 0.05;

    private readonly BenchSession _session;
    private readonly ComputeBackend _backend;
    private readonly LlamaWeights _weights;
    private readonly RandomPattern _pattern;
    private readonly StepTimer _timer;
    private readonly string _model;
    private readonly KvFormat _kvFormat;
    private readonly int _chunk;
    private readonly WeightFormat _format;
    private readonly long _before;

    /// <summary>Makes the weights.</summary>
    /// <param name="session">Where and how to measure.</param>
    /// <param name="config">The model.</param>
    /// <param name="model">Its name.</param>
    /// <param name="format">Format of the matrices.</param>
    /// <param name="kvFormat">Storage of K and V.</param>
    /// <param name="chunk">Tokens a prefill chunk; 0 for the backend's choice.</param>
    /// <exception cref="InsufficientMemoryException">The weights do not fit.</exception>
    public ModelBenchmark(BenchSession session, LlamaConfig config, string model, WeightFormat format, KvFormat kvFormat, int chunk)
    {
        (_session, _backend, _kvFormat, _chunk) = (session, session.Backend, kvFormat, chunk);
        _model = $"{model} {format.ToString().ToLowerInvariant()}{(config.Layers == 1 ? ", 1 layer" : $", {config.Layers} layers")}";
        _pattern = new RandomPattern(_backend, session.Settings.Seed, 2 * FillTokens * config.KvHeads * config.HeadDim);
        _timer = new StepTimer(_backend, session.Settings.Samples, session.Cancellation);
        (_format, _before) = (format, UsedBytes);
        ProgressConsole.Instance.WriteLine($"{_model}: {Bytes.Text(RandomModel.PlannedBytes(config, format))} of random weights");
        _weights = RandomModel.Create(_backend, config, format, session.Settings.Seed);
    }

    /// <summary>Rate of a copy from pinned host memory, once it is known: what rates over the bus are shares of.</summary>
    public double? BusGigabytesPerSecond { get; set; }

    private LlamaConfig Config => _weights.Config;

    private long UsedBytes => (_backend as GpuBackend)?.Device.UsedBytes ?? _backend.Memory.LiveBytes;

    /// <summary>The prompt as a whole, and the labels that are made of it.</summary>
    public IReadOnlyList<BenchRow> MeasurePrefill(ModelConfiguration configuration) => Guarded(configuration, Prefill, row =>
    {
        using var decoder = Decoder(configuration, room: 0);
        int[] prompt = Tokens(configuration.Context);
        using var sequence = decoder.NewSequence();
        var timing = _timer.Launched(_ =>
        {
            sequence.Rewind(0);
            decoder.Prefill(sequence, prompt, cancellation: _session.Cancellation);
        }, 1);
        row = row with { Launched = timing, Tokens = configuration.Context, Operations = Operations(configuration.Context) };
        row = WithMemory(row, decoder);
        if (configuration.Attention.Kind == AttentionKind.Dense) return [row];
        var labels = Labels(decoder, sequence, configuration.Context);
        return [row, Describe(configuration, "labels") with { Launched = labels, Part = labels.Median / timing.Median }];
    });

    /// <summary>One token for each sequence, from the ids to the logits on the host, and of a single sequence many that follow one another, too, where the device can.</summary>
    public IReadOnlyList<BenchRow> MeasureDecode(ModelConfiguration configuration) => Guarded(configuration, Decode, row =>
    {
        // every run makes the sequences longer: half of that lies before the context that is named
        int runs = 4 * _session.Settings.Samples + 64, start = Math.Max(1, configuration.Context - runs / 2);
        using var decoder = Decoder(configuration, room: runs, start);
        var sequences = new List<CacheSequence>();
        for (int s = 0; s < configuration.Batch; s++)
        {
            sequences.Add(decoder.NewSequence());
            Fill(decoder, sequences[s], start);
        }
        int[] ids = Tokens(configuration.Batch);
        var host = decoder.Cache as HostKvCache;
        var counted = host?.Counts();
        var timing = _timer.Launched(_ =>
        {
            if (sequences[0].Length >= start + runs)
                foreach (var sequence in sequences) sequence.Rewind(start);
            // steps over the same token would select the same rows
            if (host is not null) ids = Tokens(configuration.Batch);
            decoder.Decode(sequences, ids);
        }, 1);
        long bytes = _weights.BytesReadPerToken + configuration.Batch * decoder.Policy.BytesRead(configuration.Context - 1);
        row = row with { Launched = timing, Tokens = configuration.Batch, Bytes = bytes, Nodes = decoder.StepNodes > 0 ? decoder.StepNodes : null };
        if (host is null)
        {
            if (configuration.Batch == 1 && decoder.QueuesSteps) row = row with { Queued = Queued(decoder, sequences[0], ids[0], configuration.Context) };
            return [WithMemory(row, decoder) with { Share = row.GigabytesPerSecond / _session.Yardstick.GigabytesPerSecond, DeviceBytes = DeviceBytes(decoder) }];
        }
        var counts = host.Counts().Since(counted!.Value);
        return
        [
            WithMemory(row, decoder) with
            {
                Kv = "host",
                HotTokens = decoder.Options.HotTokens,
                HitRate = decoder.Options.HotTokens > 0 ? counts.HitRate : null,
                Prediction = configuration.Prediction == KvPrediction.Off ? null : configuration.PredictionText,
                PredictionRate = configuration.Prediction == KvPrediction.Off ? null : counts.PredictionRate,
                DropRate = counts.DroppedRows > 0 ? counts.DropRate : null,
                BusBytes = counts.BusBytesPerStep,
                DeviceBytes = DeviceBytes(decoder),
                HostBytes = _backend.HostMemory.LiveBytes,
                BusShare = BusGigabytesPerSecond is { } rate ? counts.BusBytesPerStep / timing.Median / 1e3 / rate : null,
            },
        ];
    });

    // Steps as 'generate' asks for them, up to the context: the token of each is drawn on the device and feeds the next one, and the host reads those of some steps while others run.
    private Timing Queued(LlamaDecoder decoder, CacheSequence sequence, int id, int context)
    {
        int steps = QueueWarmSteps + QueueSteps, start = Math.Max(0, context - steps);
        double Run()
        {
            _session.Cancellation.ThrowIfCancellationRequested();
            sequence.Rewind(Math.Min(start, sequence.Length));
            using var queue = decoder.Queue(sequence, id, SamplingOptions.Greedy, 0, steps + TokenFeedback.Slots);
            for (int i = 0; i < QueueWarmSteps; i++) queue.Next();
            long time = Stopwatch.GetTimestamp();
            for (int i = 0; i < QueueSteps; i++) queue.Next();
            return Stopwatch.GetElapsedTime(time).TotalMicroseconds / QueueSteps;
        }
        // steps are loaded and recorded
        Run();
        return Timing.Of([.. Enumerable.Range(0, _session.Settings.Samples).Select(_ => Run())]);
    }

    private IReadOnlyList<BenchRow> Guarded(ModelConfiguration configuration, string what, Func<BenchRow, IReadOnlyList<BenchRow>> measure)
    {
        var row = Describe(configuration, what);
        try
        {
            double difference = Difference();
            row = row with { Error = difference };
            return difference <= MostDifference ? measure(row)
                : [row with { Problem = $"wrong result: logits of a prompt and of the same tokens one by one differ by {difference:0.0e+0} of their size", Failed = true }];
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

    // The same logits by the kernels for many rows and by those for one: of their norm; infinite where there is something else than numbers.
    private double Difference()
    {
        using var decoder = Decoder(new ModelConfiguration(CheckTokens, 2, AttentionOptions.Dense), room: 0);
        int[] tokens = Tokens(CheckTokens);
        // two sequences, so that the second one finds nothing of the first in its part of the cache
        using CacheSequence together = decoder.NewSequence(), single = decoder.NewSequence();
        float[] expected = decoder.Prefill(together, tokens).ToArray(), actual = decoder.Prefill(single, tokens.AsSpan(0, 1)).ToArray();
        foreach (int token in tokens.AsSpan(1)) actual = decoder.Decode([single], [token]).ToArray();
        double difference = Math.Sqrt(expected.Zip(actual, (a, b) => ((double)a - b) * ((double)a - b)).Sum() / expected.Sum(a => (double)a * a));
        return double.IsFinite(difference) ? difference : double.PositiveInfinity;
    }

    // Nothing is given back during a run, so that what is in use after it is the most.
    private BenchRow WithMemory(BenchRow row, LlamaDecoder decoder) => row with
    {
        PlannedBytes = MemoryPlan.For(Config, RandomModel.PlannedBytes(Config, _format), [_format], decoder.Options, _backend).Total,
        UsedBytes = UsedBytes - _before,
    };

    private LlamaDecoder Decoder(ModelConfiguration configuration, int room, int start = 0)
    {
        int blocks = KvCache.BlocksFor(configuration.Context + room);
        var options = new DecoderOptions
        {
            Capacity = checked(configuration.Batch * blocks * KvLayer.BlockTokens),
            KvFormat = configuration.KvFormat ?? _kvFormat,
            Attention = configuration.Attention,
            Channels = configuration.Attention.Kind == AttentionKind.Dense ? null : RandomChannels.Create(Config, _pattern),
            PrefillChunk = _chunk,
            MaxSequences = configuration.Batch,
            KvPrediction = configuration.Prediction,
            KvLateLeast = configuration.LateLeast,
        };
        options = ModelOptions.Place(options, configuration.Placement, configuration.Hot, Config);
        if (configuration.Replay is not { } trace) return new LlamaDecoder(_backend, _weights, options);
        if (_backend is not GpuBackend gpu) throw new NotSupportedException($"selections are replayed on GPUs, not on {_backend.Name}");
        return new LlamaDecoder(_backend, _weights, options, (cache, resolved) => resolved.Attention.Create(_backend, Config, cache, resolved) is DoubleSparsityPolicy policy
            ? new ReplayPolicy(gpu, policy, trace, Config.Layers, start) : throw new ArgumentException($"{resolved.Attention} cannot be replayed: that takes double-sparsity"));
    }

    // Of K and V and of what the policy keeps of them.
    private long DeviceBytes(LlamaDecoder decoder)
    {
        var options = decoder.Options;
        long kv = options.KvPlacement == KvPlacement.Host ? HostKvCache.PlannedDeviceBytes(Config, options) : KvCache.PlannedBytes(Config, options.KvFormat, options.Capacity);
        return kv + options.Attention.AuxiliaryBytesPerToken(Config) * decoder.Cache.Capacity;
    }

    // Random K and V, and what the policy keeps of them.
    private void Fill(LlamaDecoder decoder, CacheSequence sequence, int tokens)
    {
        var shape = new AttentionShape(Config.Heads, Config.KvHeads, Config.HeadDim, Config.SlidingWindow);
        int floats = FillTokens * Config.KvHeads * Config.HeadDim;
        using var batch = new StepBatch(_backend, FillTokens, 1, decoder.Cache.Blocks);
        sequence.Reserve(tokens);
        for (int start = 0; start < tokens; start += FillTokens)
        {
            _session.Cancellation.ThrowIfCancellationRequested();
            batch.SetPrefill(start, Math.Min(FillTokens, tokens - start), sequence.Blocks);
            decoder.Cache.Prepare(batch);
            for (int layer = 0; layer < Config.Layers; layer++)
            {
                var k = _pattern.Device(_pattern.Draw(floats));
                _backend.AppendKv(shape, decoder.Cache.Layers[layer], batch, k, _pattern.Device(_pattern.Draw(floats)));
                decoder.Policy.Append(layer, batch, k);
            }
        }
        sequence.Advance(tokens);
        _backend.Synchronize();
    }

    // All layers' labels of a prompt, chunk by chunk.
    private Timing Labels(LlamaDecoder decoder, CacheSequence sequence, int tokens)
    {
        int rows = Math.Min(FillTokens, tokens);
        using var batch = new StepBatch(_backend, rows, 1, decoder.Cache.Blocks);
        batch.SetPrefill(0, rows, sequence.Blocks);
        var k = _pattern.Device(_pattern.Draw((long)rows * Config.KvHeads * Config.HeadDim));
        var timing = _timer.Launched(layer => decoder.Policy.Append(layer, batch, k), Config.Layers);
        double times = (double)tokens / rows * Config.Layers;
        return timing with { Median = timing.Median * times, InterquartileRange = timing.InterquartileRange * times };
    }

    // Products of the layers, and causal attention with half of all pairs; as the baseline counts.
    private double Operations(int tokens)
    {
        double layer = 2.0 * Config.HiddenSize * Config.HeadDim * (Config.Heads + Config.KvHeads)
            + 3.0 * Config.HiddenSize * Config.IntermediateSize * Math.Max(1, Config.ActiveExperts) + (double)Config.HiddenSize * Config.Experts;
        return Config.Layers * (2 * layer * tokens + 2.0 * tokens * tokens * Config.Heads * Config.HeadDim);
    }

    private int[] Tokens(int count) => [.. Enumerable.Range(0, count).Select(_ => _pattern.Next(Config.VocabularySize))];

    private BenchRow Describe(ModelConfiguration c, string what) => new()
    {
        What = what,
        Model = _model,
        Heads = Config.Heads,
        KvHeads = Config.KvHeads,
        HeadDim = Config.HeadDim,
        Context = c.Context,
        Batch = c.Batch,
        KvFormat = (c.KvFormat ?? _kvFormat).ToString().ToLowerInvariant(),
        Attention = c.Attention.ToString(),
        Selections = c.Replay is null ? null : "replayed",
        Layers = Config.Layers,
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        _weights.Dispose();
        _timer.Dispose();
        _pattern.Dispose();
    }
}
