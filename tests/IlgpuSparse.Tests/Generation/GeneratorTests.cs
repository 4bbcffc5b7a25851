using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Generation;

/// <summary>Where a generation ends, what it leaves in the cache, and what it says it read.</summary>
public sealed class GeneratorTests : IDisposable
{
    private static readonly int[] s_prompt = [1, 533, 324, 262, 1029, 815];

    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly CpuBackend _backend = new(2);
    private readonly LlamaWeights _weights;

    public GeneratorTests() => _weights = LlamaWeights.Load(_backend, _model);

    private LlamaDecoder Decoder(int capacity, string attention = "dense") => new(_backend, _weights, new DecoderOptions
    {
        Capacity = capacity,
        Attention = AttentionOptions.Parse(attention),
        Channels = attention == "dense" ? null : ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json")),
    });

    [Fact]
    public void Ends_at_a_stop_id_that_is_not_part_of_the_text()
    {
        using var decoder = Decoder(64);
        int[] free = Generate(decoder, 12);
        Assert.Equal(12, free.Length);
        int stop = free[7];
        int[] stopped = Generate(decoder, 12, stop);
        Assert.Equal(free.TakeWhile(t => t != stop), stopped);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(5, 4)]
    public void Makes_as_many_tokens_as_asked_and_one_step_less(int tokens, int steps)
    {
        using var decoder = Decoder(64);
        using var generator = new Generator(decoder);
        Assert.Equal(tokens, generator.Generate(s_prompt, new GenerationOptions { MaxTokens = tokens }).Count());
        Assert.Equal((s_prompt.Length, tokens, steps), (generator.Statistics.PromptTokens, generator.Statistics.NewTokens, generator.Statistics.DecodeSteps));
        Assert.Equal(s_prompt.Length + steps, generator.Length);
    }

    [Fact]
    public void Ends_when_the_cache_is_full()
    {
        using var decoder = Decoder(1); // a block of 256
        using var generator = new Generator(decoder);
        int[] prompt = [.. Enumerable.Range(0, 250).Select(i => s_prompt[i % s_prompt.Length])];
        Assert.Equal(7, generator.Generate(prompt, new GenerationOptions { MaxTokens = 100 }).Count()); // six steps fill it, the last one's token needs no room
        Assert.Equal(256, generator.Length);
        var e = Assert.Throws<ArgumentException>(() => generator.Generate([5], new GenerationOptions()));
        Assert.Contains("--context", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Goes_on_after_a_second_prompt_as_if_it_had_been_one()
    {
        using var decoder = Decoder(1024);
        using var generator = new Generator(decoder);
        int[] first = [.. generator.Generate(s_prompt, new GenerationOptions { MaxTokens = 4 })];
        int[] more = [.. generator.Generate([first[^1], 262, 324], new GenerationOptions { MaxTokens = 5 })]; // the last token was drawn, not yet fed
        using var whole = new Generator(decoder);
        Assert.Equal(whole.Generate([.. s_prompt, .. first, 262, 324], new GenerationOptions { MaxTokens = 5 }), more);
    }

    [Fact]
    public void Counts_the_bytes_that_the_policy_says_a_step_reads()
    {
        using var decoder = Decoder(1024, "double-sparsity:tokens=1/16");
        using var generator = new Generator(decoder);
        int[] prompt = [.. Enumerable.Range(0, 500).Select(i => s_prompt[i % s_prompt.Length])];
        Assert.Equal(4, generator.Generate(prompt, new GenerationOptions { MaxTokens = 4 }).Count());
        var s = generator.Statistics;
        Assert.Equal(Enumerable.Range(500, 3).Sum(p => decoder.Policy.BytesRead(p)), s.CacheBytesRead);
        Assert.Equal(Enumerable.Range(500, 3).Sum(p => decoder.DenseBytesRead(p)), s.DenseBytesRead);
        Assert.Equal((double)s.CacheBytesRead / s.DenseBytesRead, s.Density);
        Assert.Equal(_weights.BytesReadPerToken, s.WeightBytesPerToken);
    }

    [Fact]
    public void Cancelling_between_tokens_keeps_the_statistics()
    {
        using var decoder = Decoder(1024);
        using var generator = new Generator(decoder);
        using var cancel = new CancellationTokenSource();
        int seen = 0;
        Assert.Throws<OperationCanceledException>(() =>
        {
            foreach (int _ in generator.Generate(s_prompt, new GenerationOptions { MaxTokens = 100 }, null, cancel.Token))
                if (++seen == 3) cancel.Cancel();
        });
        Assert.Equal((3, 2), (generator.Statistics.NewTokens, generator.Statistics.DecodeSteps));
    }

    [Fact]
    public void Nonsense_is_refused_before_anything_is_computed()
    {
        using var decoder = Decoder(64);
        using var generator = new Generator(decoder);
        Assert.Throws<ArgumentException>(() => generator.Generate([], new GenerationOptions()));
        Assert.Throws<ArgumentOutOfRangeException>(() => generator.Generate([1], new GenerationOptions { MaxTokens = -1 }));
        Assert.Throws<ArgumentException>(() => generator.Generate([1], new GenerationOptions { Sampling = new SamplingOptions { TopP = 2 } }));
        Assert.Equal(0, generator.Length);
    }

    private static int[] Generate(LlamaDecoder decoder, int tokens, params int[] stop)
    {
        using var generator = new Generator(decoder);
        return [.. generator.Generate(s_prompt, new GenerationOptions { MaxTokens = tokens, StopIds = stop })];
    }

    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        _model.Dispose();
    }
}
