using System.Text.Json;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Gpu;

namespace IlgpuSparse.Tests.Llama;

/// <summary>The embedded model on CUDA against its reference and against the managed code.</summary>
[Collection("accelerators")]
public sealed class CudaBooksModelTests(Accelerators accelerators)
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Greedy_tokens_match_the_reference(int index)
    {
        using var backend = Open();
        using var json = JsonDocument.Parse(File.ReadAllText(TestFiles.Data("books-16m.reference.json")));
        int[] ids = json.RootElement[index].GetProperty("ids").Deserialize<int[]>()!, greedy = json.RootElement[index].GetProperty("greedy").Deserialize<int[]>()!;
        Assert.Equal(greedy, Generate(backend, ids, greedy.Length, AttentionOptions.Dense));
    }

    [Theory]
    [InlineData("dense")]
    [InlineData("double-sparsity:tokens=1/16")]
    [InlineData("double-sparsity:tokens=1/16,sinks=4,window=64,dense-below=7100")]
    public void Long_greedy_texts_equal_those_of_the_cpu(string attention)
    {
        using var cuda = Open();
        using var cpu = new CpuBackend();
        int[] ids = Book(7000);
        var options = AttentionOptions.Parse(attention);
        Assert.Equal(Generate(cpu, ids, 200, options), Generate(cuda, ids, 200, options));
    }

    [Fact]
    public void Recorded_steps_survive_rewinding_and_other_batches()
    {
        using var backend = Open();
        using var model = ModelFile.Open(TestFiles.Model);
        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, Options(4096, AttentionOptions.DoubleSparsity) with { MaxSequences = 2 });
        using var first = decoder.NewSequence();
        using var second = decoder.NewSequence();
        int[] ids = Book(1200);
        decoder.Prefill(first, ids.AsSpan(0, 1000));
        decoder.Prefill(second, ids.AsSpan(100, 700));
        float[] once = Steps(), again;
        first.Rewind(1000);
        second.Rewind(700);
        decoder.Decode([second], [ids[800]]); // a batch of another size in between
        second.Rewind(700);
        again = Steps();
        Assert.Equal(once, again);

        float[] Steps()
        {
            float[] logits = [];
            for (int i = 0; i < 40; i++) logits = decoder.Decode([first, second], [ids[1000 + i], ids[800 + i]]).ToArray();
            return logits;
        }
    }

    [Theory]
    [InlineData("dense", 0f)]
    [InlineData("dense", 1f)]
    [InlineData("double-sparsity:tokens=1/16", 0f)]
    [InlineData("double-sparsity:tokens=1/16,mean-value=on,dense-below=1100", 0f)]
    public void Queued_texts_equal_those_of_single_steps_and_go_on_after_a_stop_id(string attention, float temperature)
    {
        using var backend = Open();
        using var model = ModelFile.Open(TestFiles.Model);
        using var weights = LlamaWeights.Load(backend, model);
        int[] ids = Book(1000);
        // over several changes of the grid
        var options = new GenerationOptions { MaxTokens = 600, Sampling = new SamplingOptions { Temperature = temperature, TopP = temperature > 0 ? 0.9f : 1f, Seed = 11 } };
        var texts = new List<int[]>();
        foreach (bool queued in (bool[])[false, true])
        {
            using var decoder = new LlamaDecoder(backend, weights, Options(4096, AttentionOptions.Parse(attention)));
            // single steps draw on the device, too: exponentials of the host may differ in their last bit
            decoder.QueuesSteps = queued || temperature > 0;
            using var generator = new Generator(decoder);
            int[] text = queued || temperature == 0 ? [.. generator.Generate(ids, options)] : OneByOne(generator, decoder, ids, options);
            Assert.Equal(600, text.Length);
            Assert.Equal(1000 + 599, generator.Length);
            Assert.True(decoder.StepNodes > 0);
            int stop = text[317];
            using var again = new Generator(decoder);
            int[] stopped = [.. again.Generate(ids, options with { StopIds = [stop] })];
            Assert.Equal(text.TakeWhile(t => t != stop), stopped);
            Assert.Equal(1000 + stopped.Length, again.Length);
            // the stop id itself was not fed
            texts.Add(temperature > 0 ? text : [.. text, .. stopped, .. again.Generate([stop], options with { MaxTokens = 100 })]);
        }
        Assert.Equal(texts[0], texts[1]);
    }

    // Another sequence's step between any two: nothing is computed ahead.
    private static int[] OneByOne(Generator generator, LlamaDecoder decoder, int[] ids, GenerationOptions options)
    {
        using var other = decoder.NewSequence();
        var text = new List<int>();
        foreach (int token in generator.Generate(ids, options))
        {
            text.Add(token);
            other.Rewind(0);
            decoder.Decode([other], [token]);
        }
        return [.. text];
    }

    private GpuBackend Open() => GpuBackend.Create(accelerators.Open(GpuKind.Cuda), leaveOpen: true);

    private static int[] Generate(ComputeBackend backend, int[] ids, int count, AttentionOptions attention)
    {
        using var model = ModelFile.Open(TestFiles.Model);
        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, Options(ids.Length + count, attention));
        using var generator = new Generator(decoder);
        return [.. generator.Generate(ids, new GenerationOptions { MaxTokens = count })];
    }

    private static DecoderOptions Options(int capacity, AttentionOptions attention) => new()
    {
        Capacity = capacity,
        Attention = attention,
        KvFormat = KvFormat.F32,
        Channels = attention.Kind == AttentionKind.Dense ? null : ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json")),
    };

    private static int[] Book(int length)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(TestFiles.Data("books-16m.reference.json")));
        int[] ids = json.RootElement[1].GetProperty("ids").Deserialize<int[]>()!;
        // the reference's own text over and over, shifted each time so that it does not simply repeat
        return [.. Enumerable.Range(0, length).Select(i => ids[(i + i / ids.Length * 7) % ids.Length])];
    }
}
