using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Attention;

/// <summary>What attention must do on every backend, against a double-precision reference. A backend's tests derive from this.</summary>
public abstract class AttentionProperties : IDisposable
{
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;
    private readonly ComputeBackend _backend;

    protected AttentionProperties()
    {
        _random = new Random(_seed);
        _backend = CreateBackend();
    }

    /// <summary>The backend under test.</summary>
    protected abstract ComputeBackend CreateBackend();

    /// <summary>Lengths are cut to this: emulated devices need small ones.</summary>
    protected virtual int LongestLength => int.MaxValue;

    /// <summary>Tokens of a case that must be cut into many splits.</summary>
    protected virtual int ManySplitsLength => 5003;

    private string Seed(string what) => $"{what} (seed {_seed})";

    private int[] Cut(params int[] lengths) => [.. lengths.Select(l => Math.Min(l, LongestLength))];

    private AttentionCase Case(AttentionShape shape, KvFormat format, params int[] lengths)
    {
        Assert.SkipWhen(!_backend.Supports(format), $"{_backend.Name} has no K and V in {format}");
        return new AttentionCase(_backend, _random, shape, format, Cut(lengths));
    }

    public static TheoryData<int, int, int, KvFormat> Shapes()
    {
        var shapes = new TheoryData<int, int, int, KvFormat>();
        foreach (int headDim in new[] { 64, 80, 96, 128, 256 })
            foreach (var format in Enum.GetValues<KvFormat>())
            {
                shapes.Add(3, 3, headDim, format);
                shapes.Add(8, 2, headDim, format);
                shapes.Add(7, 1, headDim, format);
            }
        foreach (int headDim in new[] { 16, 18, 30, 34, 100, 126 }) shapes.Add(6, 2, headDim, KvFormat.F16);
        shapes.Add(4, 2, 16, KvFormat.F32);
        shapes.Add(4, 2, 22, KvFormat.BF16);
        shapes.Add(4, 2, 20, KvFormat.Int8);
        shapes.Add(6, 2, 100, KvFormat.Int8);
        return shapes;
    }

    [Theory, MemberData(nameof(Shapes))]
    public void DenseDecodeMatchesTheReference(int heads, int kvHeads, int headDim, KvFormat format)
    {
        using var test = Case(new(heads, kvHeads, headDim), format, 1, 2, 33, 255, 256, 257, 611);
        CheckDense(test);
    }

    [Theory]
    [InlineData(3, 3, 64, KvFormat.F16, 0)]
    [InlineData(8, 2, 128, KvFormat.BF16, 0)]
    [InlineData(10, 1, 96, KvFormat.F16, 100)]
    [InlineData(4, 2, 18, KvFormat.BF16, 0)]
    [InlineData(4, 2, 80, KvFormat.F32, 0)]
    [InlineData(4, 2, 64, KvFormat.Int8, 0)]
    public void StepsMayWriteTheirOwnRows(int heads, int kvHeads, int headDim, KvFormat format, int window)
    {
        using var test = Case(new(heads, kvHeads, headDim, window), format, 1, 2, 33, 255, 256, 257, ManySplitsLength);
        test.CheckAppending(test.DecodeStep(), Seed("own rows"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(300)]
    public void WindowsHideOlderTokens(int window)
    {
        using var test = Case(new(4, 2, 64, window), KvFormat.F16, 1, 4, 64, 65, 257, 700);
        CheckDense(test);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 1)]
    [InlineData(2, 2)]
    public void SplitsMergeExactly(int heads, int kvHeads)
    {
        int length = ManySplitsLength;
        using var test = new AttentionCase(_backend, _random, new(heads, kvHeads, 64), KvFormat.F32, length, 3, length / 2);
        CheckDense(test);
    }

    private void CheckDense(AttentionCase test)
    {
        var batch = test.DecodeStep();
        float[] q = test.Queries(batch.Rows);
        float[] y = test.Attend(batch, q);
        int width = q.Length / batch.Rows;
        for (int row = 0; row < batch.Rows; row++)
            test.Compare(test.Expected(row, test.Lengths[row] - 1, q.AsSpan(row * width, width)), y, row, Seed("dense"));
    }

    [Theory]
    [InlineData(4, 2, 128, KvFormat.F16, false)]
    [InlineData(4, 2, 128, KvFormat.F16, true)]
    [InlineData(3, 3, 80, KvFormat.F32, false)]
    [InlineData(6, 1, 64, KvFormat.BF16, false)]
    [InlineData(6, 1, 64, KvFormat.F32, true)]
    [InlineData(4, 2, 256, KvFormat.F16, false)]
    [InlineData(4, 4, 96, KvFormat.BF16, true)]
    [InlineData(4, 2, 128, KvFormat.Int8, false)]
    [InlineData(4, 4, 80, KvFormat.Int8, true)]
    [InlineData(8, 1, 256, KvFormat.F32, false)]
    [InlineData(3, 3, 128, KvFormat.F16, false)]
    [InlineData(3, 3, 128, KvFormat.F32, false)]
    [InlineData(2, 2, 128, KvFormat.Int8, false)]
    [InlineData(4, 2, 64, KvFormat.BF16, true)]
    [InlineData(2, 2, 32, KvFormat.F16, false)]
    public void SelectedTokensMatchTheReference(int heads, int kvHeads, int headDim, KvFormat format, bool setPerQueryHead)
    {
        using var test = Case(new(heads, kvHeads, headDim), format, 1, 40, 700, 1500, 2100);
        var batch = test.DecodeStep();
        int sets = setPerQueryHead ? heads : kvHeads;
        var tokens = new int[batch.Rows][][];
        for (int row = 0; row < batch.Rows; row++)
        {
            tokens[row] = new int[sets][];
            for (int set = 0; set < sets; set++)
            {
                int visible = test.Lengths[row];
                int[] all = [.. Enumerable.Range(0, visible)];
                _random.Shuffle(all);
                int count = _random.Next(5) switch { 0 => 1, 1 => visible, 2 => Math.Min(visible, 32), _ => _random.Next(1, visible + 1) };
                tokens[row][set] = [.. all.Take(count).Order()];
            }
        }
        float[] q = test.Queries(batch.Rows);
        float[] y = test.AttendSelected(batch, q, tokens);
        int width = q.Length / batch.Rows;
        for (int row = 0; row < batch.Rows; row++)
            test.Compare(test.Expected(row, test.Lengths[row] - 1, q.AsSpan(row * width, width), tokens[row]), y, row, Seed("selected"));
    }

    [Fact]
    public void AnEmptySetGivesZeros()
    {
        using var test = Case(new(4, 2, 64), KvFormat.F32, 9, 9);
        var batch = test.DecodeStep();
        int[][][] tokens = [[[], [0, 8]], [[1], []]];
        float[] q = test.Queries(2);
        float[] y = test.AttendSelected(batch, q, tokens);
        for (int row = 0; row < 2; row++)
            test.Compare(test.Expected(row, 8, q.AsSpan(row * 256, 256), tokens[row]), y, row, Seed("empty set"));
    }

    [Theory]
    [InlineData(4, 4, 128, KvFormat.F16)]
    [InlineData(8, 2, 64, KvFormat.BF16)]
    [InlineData(5, 1, 80, KvFormat.F32)]
    [InlineData(8, 2, 96, KvFormat.Int8)]
    public void SelectingEveryTokenIsDenseAttention(int heads, int kvHeads, int headDim, KvFormat format)
    {
        using var test = Case(new(heads, kvHeads, headDim), format, 1, 257, 1023);
        var batch = test.DecodeStep();
        float[] q = test.Queries(batch.Rows);
        int[][][] everything = [.. test.Lengths.Select(length => Enumerable.Repeat(Enumerable.Range(0, length).ToArray(), kvHeads).ToArray())];
        float[] dense = test.Attend(batch, q), selected = test.AttendSelected(batch, q, everything);
        for (int i = 0; i < dense.Length; i++)
            Assert.True(Math.Abs(dense[i] - selected[i]) <= 1e-5, Seed($"all tokens selected: {selected[i]} at {i}, dense gives {dense[i]}"));
    }

    [Theory]
    [InlineData(4, 2, 64, KvFormat.F32, 0, false)]
    [InlineData(8, 2, 128, KvFormat.F16, 0, true)]
    [InlineData(3, 3, 80, KvFormat.BF16, 0, false)]
    [InlineData(4, 1, 64, KvFormat.Int8, 0, false)]
    [InlineData(4, 2, 64, KvFormat.F16, 300, true)]
    [InlineData(2, 2, 96, KvFormat.F32, 7, false)]
    public void MeanValuesStandInForTheRest(int heads, int kvHeads, int headDim, KvFormat format, int window, bool setPerQueryHead)
    {
        using var test = Case(new(heads, kvHeads, headDim, window), format, 700, 1, 255, 256, 257, 1025);
        int sets = setPerQueryHead ? heads : kvHeads;
        for (int round = 0; round < 2; round++)
        {
            var batch = test.DecodeStep();
            float[] y = test.Queries(batch.Rows), shares = [.. Enumerable.Range(0, batch.Rows * sets).Select(_ => _random.Next(4) switch { 0 => 0f, 1 => 1f, _ => _random.NextSingle() })];
            float[] blended = test.BlendMeanValue(batch, y, shares);
            for (int row = 0; row < batch.Rows; row++)
            {
                for (int head = 0; head < heads; head++)
                {
                    float share = shares[row * sets + head * sets / heads];
                    // What a short window leaves of the rounding of a block's sum: up to 256 additions at a magnitude of some 30, 1.7e-5 in the root mean square and six times that now and then.
                    double rounding = window > 0 ? 1e-4 / Math.Min(window, test.Lengths[row]) : 0;
                    double[] mean = test.MeanValue(row, test.Lengths[row] - 1, head);
                    for (int c = 0; c < headDim; c++)
                    {
                        int at = (row * heads + head) * headDim + c;
                        double expected = share * (double)y[at] + (1 - (double)share) * mean[c];
                        Assert.True(Math.Abs(blended[at] - expected) <= 2e-6 * (1 + Math.Abs(y[at])) + rounding, Seed($"row {row} head {head} channel {c}, a share of {share}: {blended[at]}, expected {expected}"));
                        // a set that holds all of the mass is dense attention, to the bit
                        if (share == 1) Assert.Equal(y[at], blended[at]);
                    }
                }
            }
            // what is taken back leaves nothing behind
            int length = test.Lengths[0];
            test.GrowAgain(Math.Max(0, length - _random.Next(1, Math.Min(length, 300))));
        }
    }

    [Theory]
    [InlineData(3, 3, 64, KvFormat.F32, 0)]
    [InlineData(8, 2, 64, KvFormat.F16, 0)]
    [InlineData(8, 2, 80, KvFormat.BF16, 0)]
    [InlineData(4, 1, 96, KvFormat.F16, 0)]
    [InlineData(2, 2, 128, KvFormat.F16, 0)]
    [InlineData(7, 1, 128, KvFormat.F16, 0)]
    [InlineData(4, 2, 256, KvFormat.F32, 0)]
    [InlineData(6, 2, 18, KvFormat.F16, 0)]
    [InlineData(8, 2, 64, KvFormat.F16, 1)]
    [InlineData(8, 2, 64, KvFormat.F16, 37)]
    [InlineData(3, 3, 128, KvFormat.F32, 300)]
    [InlineData(4, 2, 64, KvFormat.Int8, 0)]
    public void PrefillMatchesTheReferenceRowByRow(int heads, int kvHeads, int headDim, KvFormat format, int window)
    {
        using var test = Case(new(heads, kvHeads, headDim, window), format, 700);
        int length = test.Lengths[0], width = heads * headDim;
        foreach (var (start, rows) in new[] { (0, 2), (0, Math.Min(length, 261)), (length / 2, Math.Min(33, length - length / 2)), (length - 5, 5), (length / 3, length - length / 3) })
        {
            var batch = test.PrefillStep(start, rows);
            float[] q = test.Queries(rows);
            float[] y = test.Attend(batch, q);
            // every row of a small chunk, and a sample of a large one with both ends
            for (int row = 0; row < rows; row += rows - row <= 3 ? 1 : _random.Next(1, 1 + Math.Max(1, rows / 25)))
                test.Compare(test.Expected(0, start + row, q.AsSpan(row * width, width)), y, row, Seed($"prefill of {rows} from {start}"));
        }
    }

    [Fact]
    public void PeakedAttentionStaysExact()
    {
        using var test = Case(new(4, 2, 64), KvFormat.F16, 500, 60);
        var batch = test.DecodeStep();
        float[] q = test.Queries(batch.Rows, spread: 100); // logits of hundreds: most weights underflow
        float[] y = test.Attend(batch, q);
        for (int row = 0; row < batch.Rows; row++)
        {
            // one logit's rounding error is magnified here, so only the range is sure: a mean of V, no NaN, no overflow
            double[] expected = test.Expected(row, test.Lengths[row] - 1, q.AsSpan(row * 256, 256));
            for (int i = 0; i < 256; i++)
                Assert.True(Math.Abs(y[row * 256 + i] - expected[i]) <= 2e-3, Seed($"row {row} channel {i}: {y[row * 256 + i]}, expected {expected[i]}"));
        }
    }

    public void Dispose()
    {
        _backend.Dispose();
        GC.SuppressFinalize(this);
    }
}
