using IlgpuSparse.Compute;
using IlgpuSparse.Tests.Reference;

namespace IlgpuSparse.Tests.Attention;

/// <summary>Token sets of a backend against a full stable sort.</summary>
public abstract class TokenSelectionTests
{
    private readonly int _seed = Random.Shared.Next();
    private readonly Random _random;

    protected TokenSelectionTests() => _random = new Random(_seed);

    public static TheoryData<string> Patterns =>
    [
        "normal", "equal", "ascending", "descending", "two values", "five values", "infinities", "not numbers", "all not numbers", "signed zeros", "tiny", "huge",
        "one island", "every 32nd", "between samples", "rising blocks",
    ];

    protected abstract ComputeBackend Backend { get; }

    /// <summary>Lengths of the sequences, apart from random ones.</summary>
    protected virtual IReadOnlyList<int> Lengths => [1, 2, 15, 16, 17, 100, 127, 128, 129, 1000, 4095, 4096, 4097, 4100, 10_000, 33_000];

    /// <summary>The operation under test.</summary>
    protected virtual void Select(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets) =>
        Backend.Select(shape, rule, batch, scores, sets);

    [Theory]
    [MemberData(nameof(Patterns))]
    public void IsAFullStableSort(string pattern)
    {
        var lengths = Lengths.Append(_random.Next(1, Lengths.Max())).ToArray();
        Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 16, 1), pattern, lengths);
        Check(new AttentionShape(2, 1, 64), new SelectionRule(0, 1, _random.Next(1, 200), Sinks: 4, Recent: 16), pattern, lengths);
        Check(new AttentionShape(1, 1, 64), new SelectionRule(_random.Next(1, 100), 100, _random.Next(50), _random.Next(5), _random.Next(5)), pattern, lengths);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(64)]
    [InlineData(300)]
    public void BudgetsAroundTheLength(int tokens)
    {
        int[] lengths = [1, .. Enumerable.Range(tokens - 1, 4).Where(n => n > 0)];
        foreach (string pattern in (string[])["normal", "equal", "two values"])
        {
            Check(new AttentionShape(2, 2, 64), new SelectionRule(0, 1, tokens), pattern, lengths);
            Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 2, tokens), pattern, lengths);
            Check(new AttentionShape(2, 2, 64), new SelectionRule(0, 1, tokens, Sinks: tokens, Recent: tokens), pattern, lengths);
        }
    }

    [Fact]
    public void ForcedTokensAlone() => Check(new AttentionShape(2, 2, 64), new SelectionRule(0, 1, 0, Sinks: 3, Recent: 5), "normal", 1, 7, 8, 9, 500);

    [Fact]
    public void SlidingWindow()
    {
        foreach (int window in (int[])[1, 16, 100, 5000])
            Check(new AttentionShape(2, 2, 64, window), new SelectionRule(1, 8, 4, Sinks: 2, Recent: 3), "normal", [.. Lengths]);
    }

    [Fact]
    public void RandomRules()
    {
        for (int i = 0; i < 30; i++)
        {
            var rule = new SelectionRule(_random.Next(0, 9), _random.Next(9, 200), _random.Next(1, 500), _random.Next(20), _random.Next(100));
            string pattern = Patterns.ElementAt(_random.Next(Patterns.Count)).Data;
            Check(new AttentionShape(4, 2, 64, _random.Next(2) * _random.Next(2000)), rule, pattern, _random.Next(1, 3000), _random.Next(1, Lengths.Max()));
        }
    }

    [Theory]
    [MemberData(nameof(Patterns))]
    public void MassEndsASet(string pattern)
    {
        var lengths = Lengths.Append(_random.Next(1, Lengths.Max())).ToArray();
        Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 4, 1, TopP: 0.9f), pattern, lengths);
        Check(new AttentionShape(2, 1, 64), new SelectionRule(1, 1, 1, Sinks: 4, Recent: 16, TopP: _random.NextSingle() * 0.99f + 0.001f, Floor: _random.Next(200)), pattern, lengths);
        Check(new AttentionShape(1, 1, 64), new SelectionRule(0, 1, _random.Next(1, 300), _random.Next(5), _random.Next(5), TopP: 0.5f, Floor: _random.Next(50), Temperature: 3 * _random.NextSingle()), pattern, lengths);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(64)]
    [InlineData(300)]
    public void FloorsAndCapsAroundTheLength(int tokens)
    {
        int[] lengths = [1, .. Enumerable.Range(tokens - 1, 4).Where(n => n > 0)];
        foreach (string pattern in (string[])["normal", "equal", "two values"])
        {
            Check(new AttentionShape(2, 2, 64), new SelectionRule(0, 1, tokens, TopP: 0.99f), pattern, lengths);
            Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 1, 1, TopP: 1f / 65536, Floor: tokens), pattern, lengths);
            Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 1, 1, TopP: 0.3f, Sinks: tokens, Recent: tokens), pattern, lengths);
            Check(new AttentionShape(2, 2, 64), new SelectionRule(1, 1, 1, TopP: 0.9999f, Sinks: tokens / 2), pattern, lengths);
        }
    }

    [Fact]
    public void MassInASlidingWindow()
    {
        foreach (int window in (int[])[1, 16, 100, 5000])
            Check(new AttentionShape(2, 2, 64, window), new SelectionRule(1, 2, 4, Sinks: 2, Recent: 3, TopP: 0.8f), "normal", [.. Lengths]);
    }

    [Fact]
    public void RandomRulesByMass()
    {
        for (int i = 0; i < 30; i++)
        {
            var rule = new SelectionRule(_random.Next(0, 9), _random.Next(9, 20), _random.Next(1, 500), _random.Next(20), _random.Next(100), MathF.Pow(_random.NextSingle(), 0.3f) * 0.999f + 0.0001f, _random.Next(300), 5 * _random.NextSingle());
            string pattern = Patterns.ElementAt(_random.Next(Patterns.Count)).Data;
            Check(new AttentionShape(4, 2, 64, _random.Next(2) * _random.Next(2000)), rule, pattern, _random.Next(1, 3000), _random.Next(1, Lengths.Max()));
        }
    }

    private void Check(AttentionShape shape, SelectionRule rule, string pattern, params int[] lengths)
    {
        int sets = shape.KvHeads, rows = lengths.Length, capacity = (lengths.Max() + 15) / 16 * 16;
        // sets may have budgets of their own
        int[]? factors = _random.Next(3) == 0 ? [.. Enumerable.Range(0, rows * sets).Select(_ => _random.Next(1, 4 * SelectionRule.FactorUnits))] : null;
        SelectionRule RuleOf(int set) => factors is null ? rule : rule.Scale(factors[set]);
        int room = Enumerable.Range(0, rows * sets).Max(i => RuleOf(i).Budget(lengths[i / sets]));
        var values = new float[rows * sets * capacity];
        Array.Fill(values, float.PositiveInfinity); // what lies outside must not count
        for (int row = 0; row < rows; row++)
            for (int set = 0; set < sets; set++) Fill(pattern, values.AsSpan((row * sets + set) * capacity, lengths[row]));
        using var batch = new StepBatch(Backend, rows, rows, capacity / KvLayer.BlockTokens + 1);
        batch.SetDecode([.. lengths.Select(n => n - 1)], [.. lengths.Select(n => new int[(n + KvLayer.BlockTokens - 1) / KvLayer.BlockTokens])]);
        using var scores = new TokenScores(Backend.Allocate(values.Length * sizeof(float), "test"), sets, capacity);
        // shares are to be had without a rule by mass too
        bool withShares = rule.TopP < 1 ? _random.Next(4) > 0 : _random.Next(4) == 0;
        using var given = factors is null ? null : Backend.Allocate(factors.Length * sizeof(int), "test");
        if (given is not null) ((DeviceSpan)given).Upload<int>(factors);
        using var chosen = new TokenSets(Backend.Allocate((long)rows * sets * room * sizeof(int), "test"), Backend.Allocate(rows * sets * sizeof(int), "test"), sets, room,
            withShares ? Backend.Allocate(rows * sets * sizeof(float), "test") : null, given);
        if (withShares) ((DeviceSpan)chosen.Shares!).Upload<float>(Enumerable.Repeat(float.NaN, rows * sets).ToArray());
        ((DeviceSpan)scores.Buffer).Upload<float>(values);
        ((DeviceSpan)chosen.Indices).Upload<int>(Enumerable.Repeat(-7, rows * sets * room).ToArray());
        ((DeviceSpan)chosen.Counts).Upload<int>(Enumerable.Repeat(-7, rows * sets).ToArray());

        Select(shape, rule, batch, scores, chosen);

        float[]? shares = withShares ? ((DeviceSpan)chosen.Shares!).ToArray<float>(rows * sets) : null;
        int[] counts = ((DeviceSpan)chosen.Counts).ToArray<int>(rows * sets), indices = ((DeviceSpan)chosen.Indices).ToArray<int>(rows * sets * room);
        for (int i = 0; i < rows * sets; i++)
        {
            int position = lengths[i / sets] - 1;
            int[] expected = ReferenceSelection.Select(values.AsSpan(i * capacity, capacity), shape.FirstVisible(position), position, RuleOf(i));
            string where = $"'{pattern}', {RuleOf(i)}, window {shape.Window}, {position + 1} tokens, set {i % sets} (seed {_seed})";
            Assert.True(counts[i] == expected.Length, $"{counts[i]} tokens, not {expected.Length}: {where}");
            indices.AsSpan(i * room, expected.Length).Sort();
            int wrong = indices.AsSpan(i * room, expected.Length).CommonPrefixLength(expected);
            Assert.True(wrong == expected.Length, $"place {wrong} holds {(wrong < expected.Length ? indices[i * room + wrong] : 0)}, not {expected.ElementAtOrDefault(wrong)}: {where}");
            if (shares is null) continue;
            double share = ReferenceSelection.Share(values.AsSpan(i * capacity, capacity), shape.FirstVisible(position), position, expected, rule.Temperature);
            Assert.True(Math.Abs(shares[i] - share) <= 2e-4, $"a share of {shares[i]}, not {share}: {where}");
            // enough, and not enough without one of the tokens
            if (rule.TopP < 1 && expected.Length > rule.Least(position + 1 - shape.FirstVisible(position)) && expected.Length < RuleOf(i).Budget(position + 1 - shape.FirstVisible(position)))
                Assert.True(share >= rule.TopP - 3e-4, $"a share of {share}: {where}");
        }
    }

    private void Fill(string pattern, Span<float> scores)
    {
        int n = scores.Length, from = _random.Next(n);
        for (int i = 0; i < n; i++)
        {
            float normal = (float)LabelCase.Normal(_random);
            scores[i] = pattern switch
            {
                "normal" => normal,
                "equal" => 0.25f,
                "ascending" => i * 0.5f - 100,
                "descending" => -i * 0.5f + 100,
                "two values" => _random.Next(2),
                "five values" => _random.Next(5) - 2,
                "infinities" => _random.Next(4) switch { 0 => float.PositiveInfinity, 1 => float.NegativeInfinity, _ => normal },
                "not numbers" => _random.Next(3) == 0 ? BitConverter.UInt32BitsToSingle(_random.Next(2) == 0 ? 0x7fc00001u : 0xffc00000u) : normal,
                "all not numbers" => float.NaN,
                "signed zeros" => _random.Next(3) switch { 0 => 0f, 1 => -0f, _ => _random.Next(3) - 1 },
                "tiny" => normal * 1e-42f,
                "huge" => normal * 1e38f,
                "one island" => i >= from && i < from + n / 20 ? 100 + normal : normal,
                "every 32nd" => i % 32 == from % 32 ? 100 + normal : normal,
                // large exactly where a strided sample does not look, and the other way round
                "between samples" => i * 1024L / Math.Max(1, n) == (i - 1) * 1024L / Math.Max(1, n) == (from % 2 == 0) ? 100 + normal : normal,
                "rising blocks" => i / 100 + 0.001f * normal,
                _ => throw new ArgumentException(pattern),
            };
        }
    }
}
