using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Gpu;
using static IlgpuSparse.Tests.Cache.HostKvCase;

namespace IlgpuSparse.Tests.Cache;

/// <summary>K and V in host memory: what a decoder computes with them is what it computes with K and V on the device, to the bit.</summary>
[Collection("accelerators")]
public abstract class HostKvCacheTests(Accelerators accelerators, GpuKind kind)
{
    private readonly int _seed = Random.Shared.Next();
    private byte _fresh;

    // what no rounding hides: large numbers, and none at all
    private const byte Fresh = 0x7b, OtherFresh = 0xff;

    [Theory]
    [InlineData("double-sparsity:tokens=40,channels=8,sinks=4,window=140,sets=head", KvFormat.BF16, 60, true)]
    [InlineData("double-sparsity:tokens=1/4,channels=8,dense-layers=1", KvFormat.Int8, 40, true)]
    [InlineData("dense", KvFormat.F16, 0, true)]
    [InlineData("double-sparsity:tokens=1/16,channels=8", KvFormat.F16, 0, false)]
    [InlineData("double-sparsity:tokens=1/1,channels=8", KvFormat.F32, 1000, false)]
    [InlineData("double-sparsity:tokens=1,channels=8", KvFormat.F16, 1, false)]
    [InlineData("double-sparsity:tokens=1/16,channels=8,dense-below=10000", KvFormat.F16, 0, false)]
    [InlineData("oracle:tokens=1/8", KvFormat.F16, 30, false)]
    [InlineData("streaming:tokens=1/4", KvFormat.F16, 0, false)]
    [InlineData("dense", KvFormat.Int8, 0, false)]
    public void Steps_equal_those_of_a_cache_on_the_device(string attention, KvFormat format, int hot, bool everywhere)
    {
        Assert.SkipUnless(everywhere || kind == GpuKind.Cuda, "takes the CPU accelerator too long");
        CompareWithDevice(attention, format, hot, Contents);
    }

    [Theory]
    [InlineData("double-sparsity:tokens=1/8,channels=8,top-p=0.9,mean-value=on", KvFormat.F16, 16)]
    [InlineData("quest:tokens=1/8,page=8", KvFormat.Int8, 20)]
    [InlineData("sparq:tokens=1/8,r=4", KvFormat.F32, 20)]
    public void Steps_equal_those_of_a_cache_on_the_device_after_appends(string attention, KvFormat format, int hot)
    {
        Assert.SkipUnless(kind == GpuKind.Cuda, "takes the CPU accelerator too long");
        CompareWithDevice(attention, format, hot, Fill);
    }

    private void CompareWithDevice(string attention, KvFormat format, int hot, Action<LlamaDecoder, Random, CacheSequence, int> fill)
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options(attention, format) with { MaxSequences = 2 };
        float[][] device = Run(backend, weights, options, fill, out _), host = Run(backend, weights, options with { KvPlacement = KvPlacement.Host, HotTokens = hot }, fill, out _);
        AssertSame(backend, weights, fill, options, device, options with { KvPlacement = KvPlacement.Host, HotTokens = hot }, host);
    }

    [Theory]
    [InlineData("double-sparsity:tokens=1/4,channels=8,sets=head", KvFormat.Int8, 0, true)]
    [InlineData("double-sparsity:tokens=1/8,channels=8,dense-layers=1,mean-value=on", KvFormat.F16, 64, true)]
    [InlineData("oracle:tokens=1/8", KvFormat.F32, 0, false)]
    public void Rows_brought_ahead_change_nothing_where_what_they_miss_is_fetched_late(string attention, KvFormat format, int hot, bool everywhere)
    {
        Assert.SkipUnless(everywhere || kind == GpuKind.Cuda, "takes the CPU accelerator too long");
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options(attention, format) with { MaxSequences = 2, KvPlacement = KvPlacement.Host, HotTokens = hot };
        float[][] expected = Run(backend, weights, options, Contents, out var plain), late = Run(backend, weights, options with { KvPrediction = KvPrediction.Late }, Contents, out var counts);
        AssertSame(backend, weights, Contents, options, expected, options with { KvPrediction = KvPrediction.Late }, late);
        Assert.Equal(plain.HostRows, counts.HostRows + counts.AheadRows);
        Assert.True(counts.AheadRows > 0 && counts.PredictedRows >= counts.AheadRows);
        Assert.Equal(plain.ResidentRows, counts.ResidentRows);
        float[][] trusted = Run(backend, weights, options with { KvPrediction = KvPrediction.Trust }, Contents, out counts);
        Assert.All(trusted.SelectMany(logits => logits), logit => Assert.True(float.IsFinite(logit)));
        // the first layer is not predicted
        Assert.True(counts.HostRows <= plain.HostRows * 2 / 3, $"{counts} (seed {_seed})");
    }

    [Fact]
    public void A_trace_says_in_which_layer_and_rows_two_runs_part()
    {
        Assert.SkipUnless(kind == GpuKind.CpuAccelerator, "what is checked is the trace");
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/2,channels=8,sinks=300", KvFormat.F16, 768) with { KvPlacement = KvPlacement.Host };
        StepTrace expected = Traced(-1), actual = Traced(290);
        Assert.StartsWith("step by step", expected.Compare(expected), StringComparison.Ordinal);
        // the last layer is the first to differ, in all of its heads, by one row that always is in the list
        string[] lines = expected.Compare(actual).Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("step 1 layer 1: row 0 set 0 tokens whose rows in the cache differ: 290; output of heads (all rows) 0, 1", Assert.Single(lines).Split(", by up to")[0]);

        StepTrace Traced(int changed)
        {
            using var decoder = new LlamaDecoder(backend, weights, options);
            using var sequence = decoder.NewSequence();
            Contents(decoder, new Random(_seed), sequence, 600);
            if (changed >= 0) decoder.Cache.Layers[1].V.Upload(new byte[32], (sequence.Blocks[changed / KvLayer.BlockTokens] * KvLayer.BlockTokens + changed % KvLayer.BlockTokens) * 32);
            var trace = new StepTrace();
            trace.Attach(decoder);
            decoder.Decode([sequence], [3]);
            return trace;
        }
    }

    [Fact]
    public void Hot_rows_are_hits_when_they_come_again_and_change_nothing()
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/3,channels=8", KvFormat.F16) with { MaxSequences = 2, KvPlacement = KvPlacement.Host };
        Run(backend, weights, options, Contents, out var none);
        Run(backend, weights, options with { HotTokens = 600 }, Contents, out var hot);
        Assert.Equal(0, none.HotRows);
        Assert.True(none.HostRows > 0 && none.ResidentRows > 0);
        Assert.Equal(none.HostRows, hot.HostRows + hot.HotRows);
        Assert.Equal(none.ResidentRows, hot.ResidentRows);
        Assert.True(hot.HotRows > 0);
        Assert.Equal((none.HostRows - hot.HostRows) * 2 * 16 * 2, none.BusBytes - hot.BusBytes);
        if (kind != GpuKind.Cuda) return; // one run after the other, on the CPU accelerator
        // the same again: what is kept depends on nothing but the selection
        Run(backend, weights, options with { HotTokens = 600 }, Contents, out var again);
        Assert.Equal(hot, again);
    }

    [Fact]
    public void Rewound_sequences_do_not_find_their_old_rows()
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/4,channels=8", KvFormat.F16);
        float[] expected = Rewound(options), actual = Rewound(options with { KvPlacement = KvPlacement.Host, HotTokens = 1024 });
        Assert.Equal(expected, actual);

        float[] Rewound(DecoderOptions options)
        {
            using var decoder = new LlamaDecoder(backend, weights, options);
            using var sequence = decoder.NewSequence();
            var random = new Random(_seed);
            Contents(decoder, random, sequence, 1000);
            for (int i = 0; i < 2; i++) decoder.Decode([sequence], [i]);
            sequence.Rewind(0);
            Contents(decoder, random, sequence, 900);
            float[] logits = [];
            for (int i = 0; i < 1; i++) logits = decoder.Decode([sequence], [i + 5]).ToArray();
            return logits;
        }
    }

    private GpuBackend Open() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);

    // Passes to the bit; where they differ, both once more, step by step, to say in which layer, head and rows.
    private void AssertSame(GpuBackend backend, LlamaWeights weights, Action<LlamaDecoder, Random, CacheSequence, int> fill, DecoderOptions expectedOptions, float[][] expected, DecoderOptions actualOptions, float[][] actual)
    {
        int pass = Enumerable.Range(0, expected.Length).FirstOrDefault(i => !expected[i].AsSpan().SequenceEqual(actual[i]), -1);
        if (pass < 0) return;
        StepTrace first = new(), second = new();
        Run(backend, weights, expectedOptions, fill, out _, first);
        Run(backend, weights, actualOptions, fill, out _, second);
        Assert.Fail($"pass {pass} (seed {_seed}): {expected[pass].Zip(actual[pass]).Count(x => x.First != x.Second)} of {expected[pass].Length} logits{Environment.NewLine}{first.Compare(second)}");
    }

    // Random contents; a prompt behind them; then steps of one sequence, of both, and of both in another order.
    private float[][] Run(GpuBackend backend, LlamaWeights weights, DecoderOptions options, Action<LlamaDecoder, Random, CacheSequence, int> fill, out OffloadCounts counts, StepTrace? trace = null)
    {
        // other contents of fresh memory for every decoder: what reads it before it is written shows, wherever the memory comes from
        backend.Device.FreshByte = _fresh = _fresh == Fresh ? OtherFresh : Fresh;
        try
        {
            return Passes(backend, weights, options, fill, out counts, trace);
        }
        finally
        {
            backend.Device.FreshByte = null;
        }
    }

    private float[][] Passes(GpuBackend backend, LlamaWeights weights, DecoderOptions options, Action<LlamaDecoder, Random, CacheSequence, int> fill, out OffloadCounts counts, StepTrace? trace)
    {
        var passes = new List<float[]>();
        using var decoder = new LlamaDecoder(backend, weights, options);
        using var first = decoder.NewSequence();
        using var second = decoder.NewSequence();
        var random = new Random(_seed);
        fill(decoder, random, first, 1021);
        fill(decoder, random, second, 690);
        trace?.Attach(decoder);
        passes.Add(decoder.Prefill(first, [1, 2, 3]).ToArray());
        passes.Add(decoder.Decode([first], [4]).ToArray());
        for (int i = 0; i < (kind == GpuKind.Cuda ? 4 : 1); i++) passes.Add(decoder.Decode([second, first], [5, 6 + i]).ToArray());
        if (kind == GpuKind.Cuda) passes.Add(decoder.Decode([first, second], [8, 9]).ToArray());
        counts = decoder.Cache is HostKvCache host ? host.Counts() : default;
        return [.. passes];
    }
}

public sealed class CpuAcceleratorHostKvCacheTests(Accelerators accelerators) : HostKvCacheTests(accelerators, GpuKind.CpuAccelerator)
{
    [Fact]
    public void A_backend_without_memory_of_its_own_says_so()
    {
        using var backend = new CpuBackend();
        var e = Assert.Throws<NotSupportedException>(() => new HostKvCache(backend, Llama.SmallConfig.Of(2, 1, 32, 512), new DecoderOptions { Capacity = 512 }));
        Assert.Contains("cpu", e.Message, StringComparison.Ordinal);
        Assert.Contains("--kv host", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, backend.Memory.LiveBytes);
    }
}

public sealed class CudaHostKvCacheTests(Accelerators accelerators) : HostKvCacheTests(accelerators, GpuKind.Cuda);
