using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Tests.Attention;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// The score and selection kernels on ILGPU's CPU accelerator, those for CUDA among them: shuffles work there, and the tensor-core product has a body that does the same. Groups of one or
/// two warps and few tokens, because each of their threads is one of the operating system.
/// </summary>
[Collection("accelerators")]
public sealed class SelectionKernelTests(Accelerators accelerators) : IDisposable
{
    private readonly int _seed = Random.Shared.Next();
    private readonly GpuBackend _backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);

    // for other tests too: a kernel that is loaded twice is one delegate
    internal delegate void ScoreLauncher(AcceleratorStream stream, KernelConfig config, LabelView labels, ScoreView score, SelectView select, ArrayView<float> keys, OwnRowView own);

    private delegate void SelectLauncher(AcceleratorStream stream, KernelConfig config, SelectView select);

    internal delegate void PlaceLauncher(AcceleratorStream stream, KernelConfig config, SelectView select, int tokens);

    public enum Way { Portable, OneGroup, Split }

    public static TheoryData<LabelFormat, LabelScaling> Forms => [.. from f in Enum.GetValues<LabelFormat>() from s in Enum.GetValues<LabelScaling>() select (f, s)];

    public static TheoryData<LabelFormat, LabelScaling> NarrowForms => [.. from f in Enum.GetValues<LabelFormat>() where ScoreKernel.IsNarrow(f, 1, 0) from s in Enum.GetValues<LabelScaling>() select (f, s)];

    public static TheoryData<Way, string> WaysAndPatterns => [.. from w in Enum.GetValues<Way>() from p in (string[])["normal", "equal", "one bin", "few values", "strange"] select (w, p)];

    private GpuDevice Device => _backend.Device;

    public void Dispose() => _backend.Dispose();

    [Fact]
    public void ScratchMemoryGoesWithTheScores()
    {
        var select = new GpuSelect(_backend.Device, new GpuScore(_backend.Device), _backend.Memory);
        for (int i = 0; i < 3; i++)
        {
            using (var scores = new TokenScores(_backend.Allocate(2 * 48 * sizeof(float), "test"), 2, 48))
            {
                var memory = select.Memory(scores);
                Assert.Same(memory, select.Memory(scores));
                Assert.True(_backend.Memory.LiveBytes > 2 * 48 * sizeof(float));
            }
            Assert.Equal(0, _backend.Memory.LiveBytes);
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void PortableScores(LabelFormat format, LabelScaling scaling)
    {
        var random = new Random(_seed);
        using var labels = Labels(random, format, scaling, new AttentionShape(4, 2, 64, random.Next(2) * 20), random.Next(1, 40), 45, 3);
        foreach (int sets in (int[])[2, 4]) CheckScores(labels, random, sets, (GroupReduction)random.Next(2), null, 0);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void TensorCoreScores(LabelFormat format, LabelScaling scaling)
    {
        var random = new Random(_seed);
        int channels = random.Next(1, format == LabelFormat.F16 ? 33 : 65), units = 1 << random.Next(2);
        // groups of up to four query heads take one tile, larger ones several
        var shape = random.Next(2) == 0 ? new AttentionShape(3, 1, 64) : new AttentionShape(5, 1, 64, random.Next(2) * 40);
        using var labels = Labels(random, format, scaling, shape, channels, 70 + random.Next(20));
        foreach (var reduction in Enum.GetValues<GroupReduction>())
            CheckScores(labels, random, 1, reduction, ScoreKernel.Variant(format, ScoreKernel.LaneWords(format, channels), units, shape.Heads > 4 ? 8 : 1, ScoreKernel.ScoresOnly), units);
    }

    [Theory]
    [MemberData(nameof(NarrowForms))]
    public void TensorCoreScoresOfLabelsTwoBesideEachOther(LabelFormat format, LabelScaling scaling)
    {
        var random = new Random(_seed);
        int channels = random.Next(1, 64 / format.Bits() + 1), units = 1 << random.Next(3);
        Assert.True(ScoreKernel.IsNarrow(format, channels, 0));
        foreach (var (shape, sets, reduction) in new[] { (new AttentionShape(2, 2, 64, random.Next(2) * 40), 2, GroupReduction.Max), (new AttentionShape(3, 1, 64), 1, GroupReduction.Sum) })
        {
            using var labels = Labels(random, format, scaling, shape, channels, 70 + random.Next(200), 1 + random.Next(70));
            CheckScores(labels, random, sets, reduction, ScoreKernel.Variant(format, 1, units, 0, ScoreKernel.ScoresOnly, narrow: true), 2 * units);
        }
    }

    [Theory]
    [InlineData(ScoreKernel.WithSelection, false)]
    [InlineData(ScoreKernel.WithBins, false)]
    [InlineData(ScoreKernel.WithMaximum, false)]
    [InlineData(ScoreKernel.WithMassSelection, false)]
    [InlineData(ScoreKernel.WithSelection, true)]
    [InlineData(ScoreKernel.WithBins, true)]
    [InlineData(ScoreKernel.WithMaximum, true)]
    [InlineData(ScoreKernel.WithMassSelection, true)]
    public void ScoresAndSetsInOneGo(int mode, bool narrow)
    {
        var random = new Random(_seed);
        // labels two beside each other are for sets of one query
        var shape = narrow ? new AttentionShape(1, 1, 64, random.Next(2) * 90) : new AttentionShape(2, 1, 64);
        using var labels = Labels(random, LabelFormat.Int2, LabelScaling.Static, shape, narrow ? 32 : 64, 150, 40);
        CheckScores(labels, random, 1, GroupReduction.Max, ScoreKernel.Variant(LabelFormat.Int2, 1, 1, narrow ? 0 : 1, mode, narrow), narrow ? 2 : 1,
            mode is ScoreKernel.WithMaximum or ScoreKernel.WithMassSelection ? new SelectionRule(1, 2, 5, Sinks: 2, Recent: 3, TopP: 0.1f + 0.8f * random.NextSingle()) : new SelectionRule(1, 8, 5, Sinks: 2, Recent: 3));
    }

    [Theory]
    [MemberData(nameof(WaysAndPatterns))]
    public void SetsAreAFullStableSort(Way way, string pattern)
    {
        var random = new Random(_seed);
        // chunks of 512 tokens with 32 threads a group; one group takes 1024 with 64
        int length = way == Way.Split ? 1024 + random.Next(200) : 500 + random.Next(500);
        // more than can be ranked
        if (way == Way.Split && pattern == "equal") length += SetFilter.MaxOpen;
        CheckSets(way, pattern, new SelectionRule(1, 16, 1), 0, random, length, 1 + random.Next(40));
        CheckSets(way, pattern, new SelectionRule(0, 1, random.Next(1, 200), Sinks: 4, Recent: 16), random.Next(100, 400), random, length);
    }

    [Theory]
    [MemberData(nameof(WaysAndPatterns))]
    public void MassEndsASet(Way way, string pattern)
    {
        var random = new Random(_seed);
        int length = way == Way.Split ? 1024 + random.Next(200) : 500 + random.Next(500);
        CheckSets(way, pattern, new SelectionRule(1, 2, 1, TopP: 0.7f), 0, random, length, 1 + random.Next(40));
        CheckSets(way, pattern, new SelectionRule(0, 1, random.Next(40, 300), Sinks: 4, Recent: 16, TopP: random.NextSingle() * 0.9f + 0.05f, Floor: random.Next(100), Temperature: 2), random.Next(100, 400), random, length);
    }

    private LabelCase Labels(Random random, LabelFormat format, LabelScaling scaling, AttentionShape shape, int channels, params int[] lengths)
    {
        var labels = new LabelCase(_backend, random, shape, format, scaling, channels, lengths);
        labels.Fill(random, (batch, k) => _backend.AppendLabels(shape, labels.Layer, batch, k));
        return labels;
    }

    private void CheckScores(LabelCase labels, Random random, int sets, GroupReduction reduction, KernelVariant? variant, int units, SelectionRule? rule = null)
    {
        var shape = labels.Shape;
        int rows = labels.Lengths.Length, capacity = (labels.Lengths.Max() + 15) / 16 * 16;
        float[] queries = [.. Enumerable.Range(0, rows * shape.Heads * shape.HeadDim).Select(_ => (float)LabelCase.Normal(random))];
        using var batch = labels.LastTokens();
        using var q = Upload(queries);
        using var scores = new TokenScores(Upload(Enumerable.Repeat(float.NaN, rows * sets * capacity).ToArray()), sets, capacity);
        using var chosen = Sets(rows * sets, sets, capacity);
        if (variant is null) _backend.Score(shape, labels.Layer, batch, q, reduction, scores);
        else
        {
            using var memory = new SelectMemory(Device, _backend.Memory, scores, KeyTile.Tokens(32), filterThreads: 32);
            var score = GpuScore.View(shape, labels.Layer, batch, q, reduction, scores);
            // two groups or more a set, of two warps
            score.ChunkTokens = 64 * units;
            var select = GpuSelect.View(shape, rule ?? new SelectionRule(1, 1, 1), batch, scores, chosen);
            select.Scratch = memory.View(mass: true);
            Load<ScoreLauncher>(variant)(Device.Stream, new KernelConfig(new Index3D((labels.Lengths.Max() + 64 * units) / score.ChunkTokens + 1, sets, rows), new Index3D(64, 1, 1)),
                GpuLabels.View(shape, labels.Layer, batch), score, select, default, default);
            var mode = variant.Method.GetGenericArguments()[^1];
            if (mode == KernelCounts.Of(ScoreKernel.WithBins) || mode == KernelCounts.Of(ScoreKernel.WithMaximum)) Finish(select, capacity, sets, rows, mode == KernelCounts.Of(ScoreKernel.WithMaximum));
        }

        float[] found = ((DeviceSpan)scores.Buffer).ToArray<float>(rows * sets * capacity);
        uint[] codes = labels.DownloadCodes(), scales = labels.DownloadScales();
        for (int row = 0; row < rows; row++)
        {
            for (int set = 0; set < sets; set++)
            {
                int position = labels.Lengths[row] - 1, headsPerSet = shape.Heads / sets;
                for (int token = shape.FirstVisible(position); token <= position; token++)
                {
                    var exact = Enumerable.Range(set * headsPerSet, headsPerSet).Select(head => Exact(labels, queries, codes, scales, row, head, token)).ToArray();
                    double expected = reduction == GroupReduction.Sum ? exact.Sum(e => e.Score) : exact.Max(e => e.Score), magnitude = exact.Sum(e => e.Magnitude);
                    float actual = found[(row * sets + set) * capacity + token];
                    Assert.True(Math.Abs(actual - expected) <= 1e-6 * magnitude + 1e-30, $"seed {_seed}, {labels.Description}, {reduction}: row {row} set {set} token {token} has {actual}, not {expected}");
                }
            }
        }
        if (rule is { } r) CheckChosen(labels.Shape, r, labels.Lengths, found, capacity, chosen, labels.Description);
    }

    private static (double Score, double Magnitude) Exact(LabelCase labels, float[] queries, uint[] codes, uint[] scales, int row, int head, int token)
    {
        var shape = labels.Shape;
        int kvHead = head / shape.GroupSize;
        var (values, magnitudes) = labels.Label(codes, scales, row, token, kvHead);
        double[] query = [.. labels.Channels[kvHead].Select(c => (double)queries[(row * shape.Heads + head) * shape.HeadDim + c])];
        return ReferenceLabels.Score(query, values, magnitudes, 1 / Math.Sqrt(shape.HeadDim));
    }

    private void CheckSets(Way way, string pattern, SelectionRule rule, int window, Random random, params int[] lengths)
    {
        var shape = new AttentionShape(1, 1, 64, window);
        int rows = lengths.Length, capacity = (lengths.Max() + 15) / 16 * 16;
        float[] values = [.. Enumerable.Range(0, rows * capacity).Select(_ => Value(pattern, random))];
        using var batch = new StepBatch(_backend, rows, rows, 1);
        batch.SetDecode([.. lengths.Select(n => n - 1)], [.. lengths.Select(_ => new int[1])]);
        using var scores = new TokenScores(Upload(values), 1, capacity);
        // sets may have budgets of their own
        int[]? factors = random.Next(2) == 0 ? [.. lengths.Select(_ => random.Next(1, 4 * SelectionRule.FactorUnits))] : null;
        using var given = factors is null ? null : Upload(factors);
        using var plain = Sets(rows, 1, Enumerable.Range(0, rows).Max(row => RuleOf(rule, factors, row).Budget(lengths[row])), rule.TopP < 1);
        var chosen = plain with { Factors = given };
        using var memory = new SelectMemory(Device, _backend.Memory, scores, KeyTile.Tokens(32), filterThreads: 32);
        var select = GpuSelect.View(shape, rule, batch, scores, chosen);
        bool mass = rule.TopP < 1;
        select.Scratch = memory.View(mass);
        if (way == Way.Portable) _backend.Select(shape, rule, batch, scores, chosen);
        else if (way == Way.OneGroup && mass) Load<SelectLauncher>(MassSetKernel.Variant)(Device.Stream, new KernelConfig(new Index3D(1, rows, 1), new Index3D(64, 1, 1)), select);
        else
        {
            // one chunk of 1024 tokens, or several of 512
            int threads = way == Way.OneGroup ? 64 : 32;
            Load<SelectLauncher>(mass ? HistogramKernel.Variant : BinKernel.Variant)(Device.Stream, Chunks(capacity, 1, rows, threads), select);
            Finish(select, capacity, 1, rows, mass, threads);
            var scratch = select.Scratch;
            Assert.All(Download(mass ? scratch.Histogram : scratch.Bins), count => Assert.Equal(0u, count));
            Assert.All(Download(scratch.FilterCounts), count => Assert.Equal(0u, count));
            Assert.All(Download(scratch.Arrivals), count => Assert.Equal(0, count));
            Assert.All(Download(scratch.CandidateCounts), count => Assert.Equal(0, count));
            if (mass) Assert.All(Download(scratch.Maxima), key => Assert.Equal(0u, key));
            if (mass) Assert.All(Download(scratch.Masses), sum => Assert.Equal(0ul, sum));
            if (mass) Assert.All(Enumerable.Range(0, rows), i => Assert.Equal(0ul, Download(scratch.Totals)[2 * i]));
        }
        CheckChosen(shape, rule, lengths, values, capacity, chosen, $"{way}, {pattern}, {rule}, window {window}", factors);
    }

    private static SelectionRule RuleOf(SelectionRule rule, int[]? factors, int row) => factors is null ? rule : rule.Scale(factors[row]);

    private void CheckChosen(AttentionShape shape, SelectionRule rule, int[] lengths, float[] values, int capacity, TokenSets chosen, string what, int[]? factors = null)
    {
        int[] counts = ((DeviceSpan)chosen.Counts).ToArray<int>(lengths.Length), indices = ((DeviceSpan)chosen.Indices).ToArray<int>(lengths.Length * chosen.Capacity);
        for (int row = 0; row < lengths.Length; row++)
        {
            int position = lengths[row] - 1;
            int[] expected = ReferenceSelection.Select(values.AsSpan(row * capacity, capacity), shape.FirstVisible(position), position, RuleOf(rule, factors, row));
            Assert.True(counts[row] == expected.Length, $"seed {_seed}, {what}, {lengths[row]} tokens: {counts[row]} selected, not {expected.Length}");
            if (chosen.Shares is { } shares)
            {
                double share = ReferenceSelection.Share(values.AsSpan(row * capacity, capacity), shape.FirstVisible(position), position, expected, rule.Temperature);
                float found = ((DeviceSpan)shares).ToArray<float>(lengths.Length)[row];
                Assert.True(Math.Abs(found - share) <= 2e-4, $"seed {_seed}, {what}, {lengths[row]} tokens: a share of {found}, not {share}");
            }
            indices.AsSpan(row * chosen.Capacity, expected.Length).Sort();
            Assert.True(expected.AsSpan().SequenceEqual(indices.AsSpan(row * chosen.Capacity, expected.Length)), $"seed {_seed}, {what}, {lengths[row]} tokens: {string.Join(' ', indices.Skip(row * chosen.Capacity).Take(expected.Length))}; expected {string.Join(' ', expected)}");
        }
    }

    private void Finish(SelectView select, int capacity, int sets, int rows, bool mass, int threads = 32)
    {
        if (!mass)
        {
            // 64 threads take the longest in one chunk, 32 in several of 512 tokens
            int tokens = threads == 64 ? 2048 : 512;
            Load<PlaceLauncher>(SetFilterKernel.Variant)(Device.Stream, new KernelConfig(new Index3D((capacity + tokens - 1) / tokens, sets, rows), new Index3D(threads, 1, 1)), select, tokens);
            return;
        }
        Load<SelectLauncher>(MassFilterKernel.Variant)(Device.Stream, Chunks(capacity, sets, rows, threads), select);
        Load<PlaceLauncher>(MassCandidateKernel.Variant)(Device.Stream, Chunks(capacity, sets, rows, threads), select, KeyTile.Tokens(threads));
        Load<PlaceLauncher>(PlaceKernel.Variant)(Device.Stream, Chunks(capacity, sets, rows, threads), select, KeyTile.Tokens(threads));
    }

    private static KernelConfig Chunks(int tokens, int sets, int rows, int threads) =>
        new(new Index3D((tokens + KeyTile.Tokens(threads) - 1) / KeyTile.Tokens(threads), sets, rows), new Index3D(threads, 1, 1));

    private static float Value(string pattern, Random random) => pattern switch
    {
        "normal" => (float)LabelCase.Normal(random),
        "equal" => 0.25f,
        "one bin" => 0.25f + 1e-4f * random.NextSingle(),
        "few values" => random.Next(5) switch { 0 => 0f, 1 => -0f, 2 => -1f, 3 => 1e-40f, _ => 1f },
        _ => random.Next(5) switch { 0 => float.NaN, 1 => float.PositiveInfinity, 2 => float.NegativeInfinity, 3 => -float.NaN, _ => (float)LabelCase.Normal(random) * 1e38f },
    };

    private T[] Download<T>(ArrayView<T> view) where T : unmanaged
    {
        var result = new T[view.Length];
        view.CopyToCPU(Device.Stream, result);
        return result;
    }

    private TokenSets Sets(int total, int sets, int capacity, bool shares = false) =>
        new(Upload(Enumerable.Repeat(-7, total * capacity).ToArray()), Upload(Enumerable.Repeat(-7, total).ToArray()), sets, capacity, shares ? Upload(Enumerable.Repeat(float.NaN, total).ToArray()) : null);

    // Without .maxntid, which the CPU accelerator would compare with its own limit.
    private TLaunch Load<TLaunch>(KernelVariant variant) where TLaunch : Delegate => Device.Kernels.Load<TLaunch>(variant with { GroupSize = 64 });

    private DeviceBuffer Upload<T>(T[] values) where T : unmanaged
    {
        var buffer = _backend.Allocate((long)values.Length * System.Runtime.CompilerServices.Unsafe.SizeOf<T>(), "test");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }
}
