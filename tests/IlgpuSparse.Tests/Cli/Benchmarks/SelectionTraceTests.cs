using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Cache;
using IlgpuSparse.Tests.Gpu;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Cli.Benchmarks;

/// <summary>Selections of a model that are recorded, kept in a file, and attended to in a longer context.</summary>
[Collection("accelerators")]
public sealed class SelectionTraceTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Fact]
    public void What_a_model_selects_is_recorded_and_read_again()
    {
        var config = ModelShapes.Find("llama-3-8b", layers: 2) with { VocabularySize = 50, HiddenSize = 64, IntermediateSize = 64, Heads = 4, KvHeads = 2, HeadDim = 16 };
        using var backend = new CpuBackend(1);
        using var weights = RandomModel.Create(backend, config, WeightFormat.F16, _seed);
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = 256, Attention = AttentionOptions.Parse("double-sparsity:tokens=12,channels=8"), Channels = TestChannels.Create(config) });
        int[] prompt = [.. Enumerable.Range(0, 100).Select(i => i % 50)];
        var trace = SelectionRecorder.Record(decoder, prompt, 5, new Sampler(SamplingOptions.Greedy), TestContext.Current.CancellationToken);
        Assert.Equal((100, 5, 2, 2, 12), (trace.Prompt, trace.Steps, trace.Layers, trace.Heads, trace.Room));
        Assert.InRange(trace.Overlap, 0.01, 1);
        // the current token is always in
        Assert.All(Enumerable.Range(0, 5), step => Assert.Equal(100 + step, trace[step, 1, 1][^1]));
        using var directory = new TemporaryDirectory();
        string path = directory.File("selections");
        trace.Save(path);
        var read = SelectionTrace.Load(path);
        Assert.Equal((trace.Attention, trace.Prompt, trace.Steps, trace.Overlap), (read.Attention, read.Prompt, read.Steps, read.Overlap));
        for (int step = 0; step < 5; step++) Assert.Equal(trace[step, 1, 0], read[step, 1, 0]);

        byte[] bytes = File.ReadAllBytes(path);
        foreach (byte[] damaged in (byte[][])[bytes[..^1], [.. bytes, 0], [1, .. bytes[1..]], bytes[..20], []])
        {
            File.WriteAllBytes(path, damaged);
            Assert.Contains(path, Assert.Throws<FormatException>(() => SelectionTrace.Load(path)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Replayed_selections_are_stretched_to_the_context_and_come_again_from_hot_rows()
    {
        using var backend = GpuBackend.Create(accelerators.Open(GpuKind.CpuAccelerator), leaveOpen: true);
        using var weights = RandomModel.Create(backend, HostKvCase.Config, WeightFormat.F16, _seed);
        var trace = new SelectionTrace("double-sparsity:tokens=1/8,channels=8", prompt: 200, layers: 1, heads: 1);
        trace.Add([[200, 90, 3, 95]]);
        trace.Add([[90, 95, 200, 201, 60]]);
        const int Start = 650; // three times as long, and some
        var options = HostKvCase.Options(trace.Attention, KvFormat.F16, 1024) with { KvPlacement = KvPlacement.Host, HotTokens = 256 };
        Assert.Throws<ArgumentException>(() => new LlamaDecoder(backend, weights, options, (cache, resolved) => new ReplayPolicy(backend, Inner(cache, resolved), trace, 2, 150)));
        using var decoder = new LlamaDecoder(backend, weights, options, (cache, resolved) => new ReplayPolicy(backend, Inner(cache, resolved), trace, 2, Start));
        using var sequence = decoder.NewSequence();
        HostKvCase.Contents(decoder, new Random(_seed), sequence, Start);
        var lists = new List<int[]>();
        decoder.Attended = (layer, batch, _, _) =>
        {
            var sets = decoder.Policy.SetsOf(layer, batch)!;
            lists.Add(((DeviceSpan)sets.Indices).ToArray<int>(((DeviceSpan)sets.Counts).ToArray<int>(1)[0]));
        };
        decoder.Decode([sequence], [1]);
        decoder.Decode([sequence], [2]);
        int[] first = [9, 10, 11, 270, 271, 272, 285, 286, 287, 650], second = [180, 181, 182, 270, 271, 272, 285, 286, 287, 650, 651];
        Assert.Equal([first, first, second, second], lists);
        // the second step finds again what the first brought of blocks that are not on the device anyway: two layers of six rows
        var counts = ((HostKvCache)decoder.Cache).Counts();
        Assert.Equal((12, 12), (counts.HostRows, counts.HotRows));

        DoubleSparsityPolicy Inner(KvCache cache, DecoderOptions resolved) => (DoubleSparsityPolicy)resolved.Attention.Create(backend, HostKvCase.Config, cache, resolved);
    }
}
