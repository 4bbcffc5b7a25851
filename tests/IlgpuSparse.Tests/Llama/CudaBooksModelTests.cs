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
