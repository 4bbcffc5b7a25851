using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>How fast K and V come over the bus: whole, row by row with the copy engine, and gathered in place by the kernel that decode steps use.</summary>
internal sealed class OffloadBenchmark : IDisposable
{
    /// <summary><see cref="BenchRow.What"/> of a large copy from pinned host memory.</summary>
    public const string PinnedCopy = "pinned copy";

    /// <summary><see cref="BenchRow.What"/> of selected rows read in place.</summary>
    public const string ZeroCopy = "zero copy";

    /// <summary><see cref="BenchRow.What"/> of the copy engine with a copy a row.</summary>
    public const string CopyRows = "copies of rows";

    private const int KvHeads = 8, Lists = 4, CopiedRows = 2048;

    private readonly BenchSession _session;
    private readonly GpuBackend _backend;
    private readonly StepTimer _timer;
    private readonly long _bytes;

    /// <summary>Prepares.</summary>
    /// <exception cref="NotSupportedException">The backend reaches no host memory.</exception>
    public OffloadBenchmark(BenchSession session)
    {
        _session = session;
        _backend = session.Backend is GpuBackend { ReachesHost: true } gpu ? gpu : throw new NotSupportedException($"bench offload needs a GPU that reads host memory in place, not {session.Backend.Name}");
        _timer = new StepTimer(_backend, session.Settings.Samples, session.Cancellation);
        _bytes = _backend.Device.IsCuda ? 1L << 30 : 1 << 21;
    }

    /// <summary>The rate of a large copy, which is not known before <see cref="MeasureCopy"/>.</summary>
    public double? BusGigabytesPerSecond { get; private set; }

    /// <summary>A large copy from pinned host memory to the device.</summary>
    public BenchRow MeasureCopy()
    {
        using var source = (GpuBuffer)_backend.AllocateHost(_bytes);
        using var target = (GpuBuffer)_backend.Allocate(_bytes, "copy");
        source.Clear();
        var row = new BenchRow { What = PinnedCopy, Bytes = _bytes, BusBytes = _bytes, BusShare = 1, Launched = _timer.Launched(_ => GpuBuffer.Copy(source, target, 0, _bytes, _backend.Device.Stream), 1) };
        BusGigabytesPerSecond = row.GigabytesPerSecond;
        return row;
    }

    /// <summary>Rows of <paramref name="rowBytes"/> for K and for V: a sixteenth of them gathered in place, and some by a copy each.</summary>
    public IReadOnlyList<BenchRow> MeasureRows(int rowBytes)
    {
        int tokens = (int)(_bytes / (2L * KvHeads * rowBytes));
        var config = ModelShapes.Find(ModelShapes.Names[0], 1) with { Heads = KvHeads, KvHeads = KvHeads, HeadDim = rowBytes / 2 };
        var options = new DecoderOptions { Capacity = tokens, Attention = AttentionOptions.Parse("streaming:tokens=1/16") };
        using var cache = new HostKvCache(_backend, config, options);
        using var sequence = cache.NewSequence();
        sequence.Reserve(tokens);
        using var batch = new StepBatch(_backend, 1, 1, cache.Blocks);
        batch.SetDecode([tokens - 1], [sequence.Blocks]);
        cache.Prepare(batch);
        var random = new Random(_session.Settings.Seed);
        var sets = new List<TokenSets>();
        try
        {
            for (int i = 0; i < Lists; i++) sets.Add(Draw(random, tokens));
            var layer = cache.Layers[0];
            var before = cache.Counts();
            int fetches = 0;
            var gathered = _timer.Launched(i =>
            {
                layer.Offload!.Owner.Selected.Fetch(layer, batch, sets[i]);
                fetches++;
            }, Lists);
            long bytes = cache.Counts().Since(before).BusBytes / fetches;

            using var target = (GpuBuffer)_backend.Allocate(_bytes, "copy");
            var copied = _timer.Launched(_ =>
            {
                for (int i = 0; i < CopiedRows / 2; i++)
                {
                    long offset = (long)i * 7 % (tokens * KvHeads) * rowBytes;
                    GpuBuffer.Copy((GpuBuffer)layer.K, target, offset, rowBytes, _backend.Device.Stream);
                    GpuBuffer.Copy((GpuBuffer)layer.V, target, offset, rowBytes, _backend.Device.Stream);
                }
            }, 1);
            return [Row(ZeroCopy, rowBytes, bytes, gathered), Row(CopyRows, rowBytes, (long)CopiedRows * rowBytes, copied)];
        }
        finally
        {
            foreach (var set in sets) set.Dispose();
        }
    }

    private BenchRow Row(string what, int rowBytes, long bytes, Timing timing) => new()
    {
        What = what,
        RowBytes = rowBytes,
        Bytes = bytes,
        BusBytes = bytes,
        Launched = timing,
        BusShare = BusGigabytesPerSecond is { } rate ? bytes / timing.Median / 1e3 / rate : null,
    };

    // A sixteenth of the tokens for each kv head, in ascending order as selections mostly are.
    private TokenSets Draw(Random random, int tokens)
    {
        int count = tokens / 16;
        var indices = new int[KvHeads * count];
        var counts = new int[KvHeads];
        for (int head = 0; head < KvHeads; head++)
        {
            counts[head] = count;
            // one of each sixteen
            for (int i = 0; i < count; i++) indices[head * count + i] = i * 16 + random.Next(16);
        }
        var sets = new TokenSets(_backend.Allocate(indices.Length * sizeof(int), "test"), _backend.Allocate(counts.Length * sizeof(int), "test"), KvHeads, count);
        ((DeviceSpan)sets.Indices).Upload<int>(indices);
        ((DeviceSpan)sets.Counts).Upload<int>(counts);
        return sets;
    }

    /// <inheritdoc/>
    public void Dispose() => _timer.Dispose();
}
