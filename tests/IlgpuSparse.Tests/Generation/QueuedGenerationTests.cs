using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Generation;

/// <summary>Steps whose tokens feed the next one on the device, against steps that the host leads: the same texts, and nothing left behind.</summary>
public sealed class QueuedGenerationTests : IDisposable
{
    private static readonly int[] s_prompt = [1, 533, 324, 262, 1029, 815];

    private readonly ModelFile _model = ModelFile.Open(TestFiles.Model);
    private readonly CpuBackend _backend = new(2);
    private readonly LlamaWeights _weights;

    public QueuedGenerationTests() => _weights = LlamaWeights.Load(_backend, _model);

    /// <summary>Ways to attend, and to draw.</summary>
    public static TheoryData<string, SamplingOptions> Ways
    {
        get
        {
            ulong seed = (ulong)Random.Shared.NextInt64();
            SamplingOptions[] samplings = [SamplingOptions.Greedy, new() { Temperature = 1, Seed = seed }, new() { Temperature = 0.8f, TopK = 40, TopP = 0.9f, MinP = 0.01f, Seed = seed }];
            var data = new TheoryData<string, SamplingOptions>();
            foreach (string attention in (string[])["dense", "double-sparsity:tokens=1/16", "double-sparsity:tokens=1/16,mean-value=on,dense-below=270"])
                foreach (var sampling in samplings) data.Add(attention, sampling);
            return data;
        }
    }

    [Fact]
    public void Processor_cores_are_those_of_steps_that_prepare_nothing()
    {
        var statistics = new GenerationStatistics();
        Assert.Equal(0, statistics.ProcessorCores);
        statistics.NoteSteady(2, 0.5);
        statistics.NoteSteady(1, 1);
        Assert.Equal(0.5, statistics.ProcessorCores);
    }

    [Theory]
    [MemberData(nameof(Ways))]
    public void Queued_texts_are_those_of_the_host(string attention, SamplingOptions sampling)
    {
        // over the end of a block, where grids change
        int[] prompt = Prompt(240);
        var options = new GenerationOptions { MaxTokens = 50, Sampling = sampling };
        using var decoder = Decoder(1024, attention);
        decoder.QueuesSteps = false;
        var (expected, without) = Generate(decoder, prompt, options);
        decoder.QueuesSteps = true;
        var (actual, with) = Generate(decoder, prompt, options);
        Assert.Equal(expected, actual);
        Assert.Equal((without.NewTokens, without.DecodeSteps, without.CacheBytesRead, without.DenseBytesRead), (with.NewTokens, with.DecodeSteps, with.CacheBytesRead, with.DenseBytesRead));
        Assert.True(with.DecodeSeconds > 0);
        Assert.InRange(with.ProcessorCores, 0, 2 * Environment.ProcessorCount);
        Assert.Equal(decoder.Cache.Blocks, decoder.Cache.FreeBlocks);
    }

    [Theory]
    [InlineData("dense")]
    [InlineData("double-sparsity:tokens=1/16,mean-value=on")]
    public void A_stop_id_or_the_caller_ends_it_anywhere_and_it_goes_on_as_if_nothing_had_been_queued(string attention)
    {
        int[] prompt = Prompt(230), more = [262, 324, 815];
        for (int taken = 1; taken < 40; taken += Random.Shared.Next(1, 9))
        {
            int[][] texts = new int[4][];
            for (int way = 0; way < 4; way++)
            {
                bool queued = way > 0;
                using var decoder = Decoder(1024, attention);
                decoder.QueuesSteps = queued;
                using var generator = new Generator(decoder);
                var options = new GenerationOptions { MaxTokens = 60, Sampling = new SamplingOptions { Temperature = 1, Seed = 5 } };
                // by breaking off, or by the number of tokens; in between, a sequence of others' takes blocks
                int[] first = way == 1 ? [.. generator.Generate(prompt, options with { MaxTokens = taken })] : [.. generator.Generate(prompt, options).Take(taken)];
                Assert.Equal(taken, first.Length);
                Assert.Equal(prompt.Length + taken - 1, generator.Length);
                Assert.Equal(decoder.Cache.Blocks - KvCache.BlocksFor(generator.Length), decoder.Cache.FreeBlocks);
                using var other = decoder.NewSequence();
                if (way == 3) decoder.Prefill(other, prompt);
                texts[way] = [.. first, .. generator.Generate([first[^1], .. more], options with { MaxTokens = 12 })];
            }
            for (int way = 1; way < 4; way++) Assert.Equal(texts[0], texts[way]);
        }
    }

    [Fact]
    public void A_stop_id_in_the_middle_leaves_what_came_before_it()
    {
        int[] prompt = Prompt(20);
        using var decoder = Decoder(512, "dense");
        decoder.QueuesSteps = true;
        var sampling = new SamplingOptions { Temperature = 1, Seed = (ulong)Random.Shared.NextInt64() };
        var (free, _) = Generate(decoder, prompt, new GenerationOptions { MaxTokens = 30, Sampling = sampling });
        foreach (int stop in free.Distinct())
        {
            using var generator = new Generator(decoder);
            int[] stopped = [.. generator.Generate(prompt, new GenerationOptions { MaxTokens = 30, Sampling = sampling, StopIds = [stop] })];
            Assert.Equal(free.TakeWhile(t => t != stop), stopped);
            // the token before the stop id was fed to find it
            Assert.Equal(prompt.Length + stopped.Length, generator.Length);
            Assert.Equal(stopped.Length, generator.Statistics.DecodeSteps);
        }
    }

    [Fact]
    public void Generators_take_turns_on_one_decoder()
    {
        using var decoder = Decoder(1024, "double-sparsity:tokens=1/16");
        var options = new GenerationOptions { MaxTokens = 30, Sampling = new SamplingOptions { Temperature = 1, Seed = 7 } };
        int[] one = Prompt(240), two = Prompt(100);
        decoder.QueuesSteps = false;
        int[] expectedOne = Generate(decoder, one, options).Tokens, expectedTwo = Generate(decoder, two, options).Tokens;
        decoder.QueuesSteps = true;
        using Generator first = new(decoder), second = new(decoder);
        using IEnumerator<int> a = first.Generate(one, options).GetEnumerator(), b = second.Generate(two, options).GetEnumerator();
        List<int> fromA = [], fromB = [];
        var random = new Random();
        while (fromA.Count < 30 || fromB.Count < 30)
        {
            bool takeA = random.Next(2) == 0;
            for (int n = random.Next(1, 12); n > 0; n--)
            {
                if (takeA && a.MoveNext()) fromA.Add(a.Current);
                if (!takeA && b.MoveNext()) fromB.Add(b.Current);
            }
        }
        Assert.Equal(expectedOne, fromA);
        Assert.Equal(expectedTwo, fromB);
    }

    [Fact]
    public void The_cache_is_filled_to_the_last_token_and_blocks_of_others_are_respected()
    {
        int[] prompt = Prompt(250);
        using var decoder = Decoder(512, "dense"); // two blocks
        decoder.QueuesSteps = true;
        using var other = decoder.NewSequence();
        decoder.Prefill(other, [5]);
        using var generator = new Generator(decoder);
        var tokens = new List<int>();
        var e = Assert.Throws<InvalidOperationException>(() => tokens.AddRange(Taken()));
        Assert.Contains("--context", e.Message, StringComparison.Ordinal);
        Assert.Equal(7, tokens.Count); // six steps fill the block that is left
        Assert.Equal(256, generator.Length);
        other.Rewind(0);
        Assert.Equal(256, generator.Generate([tokens[^1]], new GenerationOptions { MaxTokens = 1000 }).Count()); // 255 more steps, and the first token
        Assert.Equal(512, generator.Length);

        IEnumerable<int> Taken()
        {
            foreach (int token in generator.Generate(prompt, new GenerationOptions { MaxTokens = 100 }))
            {
                tokens.Add(token);
                if (tokens.Count > 1000) yield return token;
            }
        }
    }

    [Fact]
    public void A_penalty_is_left_to_the_host()
    {
        using var decoder = Decoder(512, "dense");
        var options = new GenerationOptions { MaxTokens = 20, Sampling = new SamplingOptions { RepetitionPenalty = 1.3f } };
        decoder.QueuesSteps = false;
        int[] expected = Generate(decoder, s_prompt, options).Tokens;
        decoder.QueuesSteps = true;
        Assert.Equal(expected, Generate(decoder, s_prompt, options).Tokens);
    }

    [Fact]
    public void Cancelling_keeps_the_tokens_that_were_taken()
    {
        using var decoder = Decoder(512, "dense");
        decoder.QueuesSteps = true;
        using var generator = new Generator(decoder);
        using var cancel = new CancellationTokenSource();
        int seen = 0;
        Assert.Throws<OperationCanceledException>(() =>
        {
            foreach (int _ in generator.Generate(s_prompt, new GenerationOptions { MaxTokens = 100 }, null, cancel.Token))
                if (++seen == 13) cancel.Cancel();
        });
        Assert.Equal((13, 12, s_prompt.Length + 12), (generator.Statistics.NewTokens, generator.Statistics.DecodeSteps, generator.Length));
    }

    private LlamaDecoder Decoder(int capacity, string attention) => new(_backend, _weights, new DecoderOptions
    {
        Capacity = capacity,
        Attention = AttentionOptions.Parse(attention),
        Channels = attention == "dense" ? null : ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json")),
    });

    private static int[] Prompt(int length) => [.. Enumerable.Range(0, length).Select(i => s_prompt[i % s_prompt.Length])];

    private static (int[] Tokens, GenerationStatistics Statistics) Generate(LlamaDecoder decoder, int[] prompt, GenerationOptions options)
    {
        using var generator = new Generator(decoder);
        return ([.. generator.Generate(prompt, options)], generator.Statistics);
    }

    public void Dispose()
    {
        _weights.Dispose();
        _backend.Dispose();
        _model.Dispose();
    }
}
