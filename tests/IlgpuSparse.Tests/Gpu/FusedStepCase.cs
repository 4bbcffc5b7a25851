using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using IlgpuSparse.Tests.Reference;
using static IlgpuSparse.Tests.Attention.AttentionCase;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// A layer's cache and the policy of Double Sparsity over it, with random contents of several sequences: one sparse step, as kernels one after another and as one kernel, judged by a full sort of its scores and by attention in
/// double precision.
/// </summary>
internal sealed class FusedStepCase : IDisposable
{
    private readonly bool _sums;
    private readonly GpuBackend _backend;
    private readonly AttentionShape _shape;
    private readonly KvCache _cache;
    private readonly DoubleSparsityPolicy _policy;
    private readonly StepBatch _step;
    private readonly float[][] _k, _v;
    private readonly int[] _lengths;
    private readonly string _what;

    public FusedStepCase(GpuBackend backend, Random random, AttentionShape shape, KvFormat format, string settings, string what, params int[] lengths)
    {
        _sums = settings.Contains("reduce=sum", StringComparison.Ordinal);
        (_backend, _shape, _lengths) = (backend, shape, lengths);
        _what = $"{what}: {settings}, {shape}, {format}, lengths {string.Join(' ', lengths)}";
        var config = SmallConfig.Of(shape.Heads, shape.KvHeads, shape.HeadDim, 1 << 20) with { SlidingWindow = shape.Window };
        int chunk = Math.Min(lengths.Max(), 16_384), width = shape.KvHeads * shape.HeadDim;
        var options = new DecoderOptions
        {
            Capacity = lengths.Sum(length => (length + 255) / 256 * 256),
            KvFormat = format,
            Attention = AttentionOptions.Parse("double-sparsity:" + settings),
            Channels = Channels(random, shape.KvHeads, shape.HeadDim),
            MaxSequences = lengths.Length,
            PrefillChunk = chunk,
        };
        _cache = new KvCache(backend, config, format, options.Capacity);
        _policy = (DoubleSparsityPolicy)options.Attention.Create(backend, config, _cache, options);
        _policy.KeepsScores = true;
        var sequences = lengths.Select(_ => _cache.NewSequence()).ToArray();
        (_k, _v) = (new float[lengths.Length][], new float[lengths.Length][]);
        using (var batch = new StepBatch(backend, chunk, 1, _cache.Blocks))
        {
            for (int s = 0; s < lengths.Length; s++)
            {
                sequences[s].Reserve(lengths[s]);
                (_k[s], _v[s]) = (RandomWeights.Normals(random, lengths[s] * width), RandomWeights.Normals(random, lengths[s] * width));
                for (int first = 0; first < lengths[s]; first += chunk)
                {
                    int count = Math.Min(chunk, lengths[s] - first);
                    batch.SetPrefill(first, count, sequences[s].Blocks);
                    using var k = Upload(_k[s][(first * width)..((first + count) * width)]);
                    using var v = Upload(_v[s][(first * width)..((first + count) * width)]);
                    backend.AppendKv(shape, _cache.Layers[0], batch, k, v);
                    _policy.Append(0, batch, k);
                    backend.Synchronize();
                }
                // numbers of eight bits have a scale a token, and are for tests that judge no outputs
                if (format == KvFormat.Int8) continue;
                for (int i = 0; i < _k[s].Length; i++) (_k[s][i], _v[s][i]) = (KvRounding.Round(format, _k[s][i]), KvRounding.Round(format, _v[s][i]));
            }
        }
        _step = new StepBatch(backend, lengths.Length, lengths.Length, _cache.Blocks);
        _step.SetDecode([.. lengths.Select(l => l - 1)], [.. sequences.Select(s => s.Blocks)]);
    }

    /// <summary>
    /// Runs the step as one kernel, in each form that there is for it and which it has to be, and judges it: scores and sizes of sets by those of the selection alone, sets by a sort of its own scores. With <paramref name="zeros"/> all scores are equal. On CUDA, where it takes
    /// no time, also beside the step as kernels apart, and without scores.
    /// </summary>
    public void Check(Random random, bool zeros = false)
    {
        int width = _shape.Heads * _shape.HeadDim;
        float[] queries = zeros ? new float[_step.Rows * width] : RandomWeights.Normals(random, _step.Rows * width);
        using var q = Upload(queries);
        _policy.Select(0, _step, q);
        int[][] apartSets = _policy.Sets.ToLists(0, _step.Rows);
        float[] apartScores = Scores();
        float[] apart = [];
        if (_backend.Device.IsCuda)
        {
            (apart, int[][] setsOfApart, _, var names) = Attend(FusedSteps.Off, q);
            Assert.DoesNotContain(names, name => IsForm(FusedSteps.On, name) || IsForm(FusedSteps.Resident, name));
            if (_shape.Heads / _policy.Sets.Sets <= ResidentScoreKernel.MaxQueries) Assert.StartsWith(nameof(ResidentScoreKernel), names[0], StringComparison.Ordinal);
            Assert.Equal(apartSets.Select(set => set.Order()), setsOfApart.Select(set => set.Order()));
        }
        foreach (var steps in Forms())
        {
            var (found, sets, scores, kernels) = Attend(steps, q);
            Assert.True(IsForm(steps, Assert.Single(kernels)), $"{_what}: {kernels[0]}");
            if (_backend.Device.IsCuda)
            {
                _policy.KeepsScores = false;
                var (again, setsAgain, _, _) = Attend(steps, q);
                _policy.KeepsScores = true;
                Assert.Equal(found, again);
                Assert.Equal(sets, setsAgain);
                if (scores.SequenceEqual(apartScores)) Assert.All(found.Zip(apart), pair => Assert.InRange(pair.First, pair.Second - 1e-4f * (1 + Math.Abs(pair.Second)), pair.Second + 1e-4f * (1 + Math.Abs(pair.Second))));
            }
            Judge(steps, queries, found, sets, scores, apartSets, apartScores);
        }
    }

    private void Judge(FusedSteps steps, float[] queries, float[] found, int[][] sets, float[] scores, int[][] apartSets, float[] apartScores)
    {
        int perRow = _policy.Sets.Sets, capacity = _policy.Scores.Capacity;
        for (int row = 0; row < _step.Rows; row++)
        {
            int position = _lengths[row] - 1, first = _shape.FirstVisible(position);
            int[][] expected = new int[perRow][];
            for (int set = 0; set < perRow; set++)
            {
                int number = row * perRow + set;
                var own = scores.AsSpan(number * capacity, capacity);
                bool same = true;
                for (int token = first; token <= position; token++)
                {
                    float other = apartScores[number * capacity + token];
                    same &= own[token].Equals(other);
                    Assert.True(Math.Abs(own[token] - other) <= 1e-4 * (1 + Math.Abs(other)), $"{_what}, {steps}: row {row} set {set} token {token} has score {own[token]}, by itself {other}");
                }
                int budget = apartSets[number].Length;
                expected[set] = ReferenceSelection.Select(own, first, position, _policy.Rule with { Numerator = 0, MinTokens = budget });
                int[] actual = [.. sets[number].Order()];
                Assert.True(expected[set].AsSpan().SequenceEqual(actual), $"{_what}, {steps}: row {row} set {set} has {string.Join(' ', actual)}; expected {string.Join(' ', expected[set])}");
                if (same) Assert.Equal(apartSets[number].Order(), actual);
            }
            CheckOutputs(found, queries, row, expected);
        }
    }

    // The forms of a step as one kernel that there are for it.
    private FusedSteps[] Forms()
    {
        int heads = _shape.Heads / _policy.Sets.Sets, tiles = FusedStepKernel.Tiles(_sums ? 1 : heads);
        bool resident = heads <= ResidentScoreKernel.MaxQueries && _shape.HeadDim <= 128 && ResidentStepKernel.Serves(tiles, _cache.Format == KvFormat.BF16 ? typeof(TensorBF16) : typeof(TensorF16));
        return resident ? [FusedSteps.On, FusedSteps.Resident] : [FusedSteps.On];
    }

    private void CheckOutputs(float[] found, float[] queries, int row, int[][] sets)
    {
        int width = _shape.Heads * _shape.HeadDim;
        double[] y = ReferenceAttention.Attend(_shape, queries.AsSpan(row * width, width), _k[row], _v[row], _lengths[row] - 1, [.. Enumerable.Range(0, _shape.Heads).Select(h => sets[h * sets.Length / _shape.Heads])]);
        double tolerance = _cache.Format == KvFormat.BF16 ? 1e-3 : 1e-4;
        for (int i = 0; i < width; i++)
            Assert.True(Math.Abs(found[row * width + i] - y[i]) <= tolerance * (1 + Math.Abs(y[i])), $"{_what}: row {row} head {i / _shape.HeadDim} channel {i % _shape.HeadDim} is {found[row * width + i]}, not {y[i]}");
    }

    /// <summary>Dense attention of the step, for a rule that selects every token.</summary>
    public void CheckAgainstDense(Random random)
    {
        int width = _shape.Heads * _shape.HeadDim;
        using var q = Upload(RandomWeights.Normals(random, _step.Rows * width));
        using var y = Upload([.. Enumerable.Repeat(float.NaN, _step.Rows * width)]);
        _backend.Attend(_shape, _cache.Layers[0], _step, q, y);
        float[] dense = ((DeviceSpan)y).ToArray<float>(_step.Rows * width);
        foreach (var steps in Forms())
        {
            float[] found = Attend(steps, q).Outputs;
            for (int i = 0; i < dense.Length; i++) Assert.True(Math.Abs(found[i] - dense[i]) <= 2e-5 * (1 + Math.Abs(dense[i])), $"{_what}, {steps}: {found[i]} at {i}, dense attention {dense[i]}");
        }
    }

    /// <summary>A recording of the step does the same, more than once.</summary>
    public void CheckRecorded(Random random)
    {
        int count = _step.Rows * _shape.Heads * _shape.HeadDim;
        using var q = Upload(RandomWeights.Normals(random, count));
        foreach (var steps in Forms())
        {
            float[] expected = Attend(steps, q).Outputs;
            using var y = Upload(new float[count]);
            using var recorded = _backend.Record(() => _policy.Attend(0, _step, q, y));
            for (int i = 0; i < 3; i++)
            {
                ((DeviceSpan)y).Upload<float>([.. Enumerable.Repeat(float.NaN, count)]);
                recorded.Run();
                Assert.Equal(expected, ((DeviceSpan)y).ToArray<float>(count));
            }
        }
    }

    /// <summary>
    /// A step that has labels of its own tokens to write, and with <paramref name="rows"/> K and V, leaves what kernels before it leave, to the bit: the whole cache, labels, sets and outputs, which are those of the reference. On CUDA also as
    /// kernels apart, none of which appends.
    /// </summary>
    public void CheckOwnTokens(Random random, bool rows)
    {
        int width = _shape.KvHeads * _shape.HeadDim, perRow = _policy.Sets.Sets;
        float[] queries = RandomWeights.Normals(random, _step.Rows * _shape.Heads * _shape.HeadDim), keys = Sizes(random, _step.Rows * width), values = Sizes(random, _step.Rows * width);
        using var q = Upload(queries);
        using var k = Upload(keys);
        using var v = Upload(values);
        using var others = Upload(RandomWeights.Normals(random, _step.Rows * width));
        var layer = _cache.Layers[0];
        DeviceBuffer[] state = [layer.K, layer.V, .. _policy.State(0).OfType<DeviceBuffer>()];
        _backend.AppendKv(_shape, layer, _step, k, v);
        for (int i = 0; i < _step.Rows * width; i++)
        {
            int row = i / width;
            (_k[row][^(width - i % width)], _v[row][^(width - i % width)]) = (KvRounding.Round(_cache.Format, keys[i]), KvRounding.Round(_cache.Format, values[i]));
        }
        _policy.KeepsScores = false;
        foreach (var steps in _backend.Device.IsCuda ? [.. Forms(), FusedSteps.Off] : Forms())
        {
            _policy.AppendLabels(0, _step, k);
            var (expected, sets, _, _) = Attend(steps, q);
            byte[][] kept = [.. state.Select(Bytes)];
            Spoil(kept);
            var (found, setsOfOne, _, kernels) = Attend(steps, q, k, rows ? v : null);
            if (steps != FusedSteps.Off) Assert.True(IsForm(steps, Assert.Single(kernels)), $"{_what}: {kernels[0]}");
            Assert.Equal(sets, setsOfOne);
            Check(found, expected, kept);
            for (int row = 0; row < _step.Rows; row++) CheckOutputs(found, queries, row, sets[(row * perRow)..((row + 1) * perRow)]);
            if (!_backend.Records) continue;
            using var y = Upload(new float[expected.Length]);
            using var recorded = _backend.Record(() => _policy.AppendAndAttend(0, _step, k, q, y, rows ? (DeviceSpan)v : null));
            // the one; or scores, perhaps selection, and attention
            Assert.InRange(recorded.Nodes, 1, steps != FusedSteps.Off ? 1 : _step.GridLength <= _backend.OneGroupTokens ? 2 : 3);
            Spoil(kept);
            recorded.Run();
            Check(((DeviceSpan)y).ToArray<float>(expected.Length), expected, kept);
        }
        _policy.KeepsScores = true;

        void Spoil(byte[][] kept)
        {
            if (rows) _backend.AppendKv(_shape, layer, _step, others, others);
            _policy.AppendLabels(0, _step, others);
            Assert.Equal(rows, !Bytes(layer.K).AsSpan().SequenceEqual(kept[0]));
            Assert.Contains(state.Zip(kept).Skip(2), pair => !Bytes(pair.First).AsSpan().SequenceEqual(pair.Second));
        }

        void Check(float[] found, float[] expected, byte[][] kept)
        {
            Assert.Equal(expected, found);
            Assert.All(state.Zip(kept), pair => Assert.True(Bytes(pair.First).AsSpan().SequenceEqual(pair.Second), _what));
        }
    }

    // Numbers that 16 bits hold in every way: with all of their bits, with fewer, and rounded to nothing.
    private static float[] Sizes(Random random, int count) => [.. RandomWeights.Normals(random, count).Select(x => MathF.ScaleB(x, -random.Next(2) * random.Next(30)))];

    /// <summary>Whether a step that is fused wherever it can be is one kernel.</summary>
    public bool IsFused(Random random)
    {
        using var q = Upload(RandomWeights.Normals(random, _step.Rows * _shape.Heads * _shape.HeadDim));
        return Attend(FusedSteps.On, q).Kernels.Any(name => IsForm(FusedSteps.On, name));
    }

    private static bool IsForm(FusedSteps steps, string kernel) => kernel.StartsWith(steps == FusedSteps.Resident ? nameof(ResidentStepKernel) : nameof(FusedStepKernel), StringComparison.Ordinal);

    private (float[] Outputs, int[][] Sets, float[] Scores, IReadOnlyList<string> Kernels) Attend(FusedSteps steps, DeviceBuffer q, DeviceBuffer? ownKeys = null, DeviceBuffer? ownValues = null)
    {
        int count = _step.Rows * _shape.Heads * _shape.HeadDim;
        using var y = Upload([.. Enumerable.Repeat(float.NaN, count)]);
        int all = _step.Rows * _policy.Sets.Sets;
        ((DeviceSpan)_policy.Sets.Indices).Upload<int>([.. Enumerable.Repeat(-7, all * _policy.Sets.Capacity)]);
        ((DeviceSpan)_policy.Sets.Counts).Upload<int>([.. Enumerable.Repeat(-7, all)]);
        ((DeviceSpan)_policy.Scores.Buffer).Upload<float>([.. Enumerable.Repeat(float.NaN, all * _policy.Scores.Capacity)]);
        var kernels = new List<string>();
        _backend.Fused.Steps = steps;
        _backend.Device.Before = name => kernels.Add(name);
        if (ownKeys is null) _policy.Attend(0, _step, q, y);
        else _policy.AppendAndAttend(0, _step, ownKeys, q, y, ownValues is null ? null : (DeviceSpan)ownValues);
        _backend.Device.Before = null;
        return (((DeviceSpan)y).ToArray<float>(count), _policy.Sets.ToLists(0, _step.Rows), Scores(), [.. kernels.Where(name => name.Contains('.', StringComparison.Ordinal))]);
    }

    private float[] Scores() => ((DeviceSpan)_policy.Scores.Buffer).ToArray<float>(_step.Rows * _policy.Sets.Sets * _policy.Scores.Capacity);

    private DeviceBuffer Upload(float[] values)
    {
        var buffer = _backend.Allocate((long)values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }

    private static ChannelMap Channels(Random random, int kvHeads, int headDim)
    {
        var heads = new HeadChannels[kvHeads];
        for (int h = 0; h < kvHeads; h++)
        {
            int[] ranking = [.. Enumerable.Range(0, headDim)];
            random.Shuffle(ranking);
            float[] scores = [.. RandomWeights.Normals(random, headDim).Select(Math.Abs)];
            heads[h] = new HeadChannels(ranking, scores, RandomWeights.Normals(random, headDim), [.. RandomWeights.Normals(random, headDim).Select(x => Math.Abs(x) + 0.1f)],
                Held: [.. TokenSplit.Shares.Select(s => (float)Math.Pow(s, 0.2 + 0.8 * random.NextDouble()))]);
        }
        return new ChannelMap("test", "variance", headDim, RopeStyle.HalfSplit, null, [heads]);
    }

    public void Dispose()
    {
        _step.Dispose();
        _policy.Dispose();
        _cache.Dispose();
    }
}
