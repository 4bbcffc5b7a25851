using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Gpu;
using static IlgpuSparse.Tests.Cache.HostKvCase;

namespace IlgpuSparse.Tests.Cache;

/// <summary>What K and V in host memory take of host and device, and that nothing of it stays, whatever fails.</summary>
[Collection("accelerators")]
public abstract class HostKvMemoryTests(Accelerators accelerators, GpuKind kind)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData("dense", KvFormat.Int8, 0, 1)]
    [InlineData("double-sparsity:tokens=1/16,channels=8", KvFormat.F16, 0, 1)]
    [InlineData("double-sparsity:tokens=1/16,channels=8,mean-value=on,sets=head", KvFormat.Int8, 70, 3)]
    [InlineData("quest:tokens=1/16", KvFormat.BF16, 64, 2)]
    [InlineData("double-sparsity:tokens=1/16,channels=8,mean-value=on", KvFormat.F16, 64, 2, KvPrediction.Late)]
    [InlineData("double-sparsity:tokens=1/16,channels=8,budgets=head", KvFormat.F16, 0, 2, KvPrediction.Late)]
    public void The_plan_is_what_gets_allocated_and_nothing_stays(string attention, KvFormat format, int hot, int sequences, KvPrediction prediction = KvPrediction.Off)
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        long before = backend.Memory.LiveBytes;
        var options = Options(attention, format, 3000) with { KvPlacement = KvPlacement.Host, HotTokens = hot, MaxSequences = sequences, KvPrediction = prediction };
        var plan = MemoryPlan.For(Config, 0, weights.Formats, options, backend);
        using (new LlamaDecoder(backend, weights, options))
        {
            Assert.Equal(plan.Total, backend.Memory.LiveBytes - before);
            Assert.Equal(plan.HostKeysAndValues, backend.HostMemory.LiveBytes);
        }
        // the operands of its products stay with the backend
        Assert.Equal(before + backend.WorkingBytes(Config, weights.Formats, LlamaDecoder.MaxRows(options.Resolve(backend, Config))), backend.Memory.LiveBytes);
        Assert.Equal(0, backend.HostMemory.LiveBytes);
    }

    [Fact]
    public void Too_little_host_memory_is_said_with_both_numbers()
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        long before = backend.Memory.LiveBytes;
        var config = Config with { Layers = 80, KvHeads = 64, HeadDim = 128 };
        var e = Assert.Throws<InsufficientMemoryException>(() => new HostKvCache(backend, config, Options("dense", KvFormat.F32, 1 << 28)));
        Assert.Contains("--context", e.Message, StringComparison.Ordinal);
        Assert.Contains($"{HostKvCache.PlannedHostBytes(config, Options("dense", KvFormat.F32, 1 << 28)):N0}", e.Message, StringComparison.Ordinal);
        Assert.Equal(before, backend.Memory.LiveBytes);
        Assert.Equal(0, backend.HostMemory.LiveBytes);
    }

    [Fact]
    public void A_decoder_that_cannot_be_made_leaves_nothing()
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/4,channels=8", KvFormat.Int8) with { KvPlacement = KvPlacement.Host, HotTokens = 64 };
        // what the backend keeps for itself is there after the first decoder
        new LlamaDecoder(backend, weights, options).Dispose();
        long before = backend.Memory.LiveBytes;
        Assert.Throws<InsufficientMemoryException>(() => new LlamaDecoder(backend, weights, options, (_, _) => throw new InsufficientMemoryException()));
        Assert.Throws<ArgumentException>(() => new LlamaDecoder(backend, weights, options with { Channels = null }));
        Assert.Throws<NotSupportedException>(() => new HostKvCache(backend, Config with { HeadDim = 12 }, options));
        Assert.Equal(before, backend.Memory.LiveBytes);
        Assert.Equal(0, backend.HostMemory.LiveBytes);
    }

    [Fact]
    public void Cancelled_prompts_and_decoders_disposed_with_rows_on_their_way_leave_nothing()
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/4,channels=8", KvFormat.F16) with { KvPlacement = KvPlacement.Host, HotTokens = 64, PrefillChunk = 2, KvPrediction = KvPrediction.Late };
        // what the backend keeps for itself is there after the first time
        Once();
        long before = backend.Memory.LiveBytes;
        Once();
        Assert.Equal(before, backend.Memory.LiveBytes);
        Assert.Equal(0, backend.HostMemory.LiveBytes);

        void Once()
        {
            using var decoder = new LlamaDecoder(backend, weights, options);
            var sequence = decoder.NewSequence();
            Contents(decoder, new Random(_seed), sequence, 1000);
            using var cancel = new CancellationTokenSource();
            Assert.Throws<OperationCanceledException>(() => decoder.Prefill(sequence, [1, 2, 3, 4, 5], _ => cancel.Cancel(), cancel.Token).Length);
            Assert.Equal(1002, sequence.Length);
            // it goes on from there
            Assert.All(decoder.Decode([sequence], [6]).ToArray(), logit => Assert.True(float.IsFinite(logit)));
            // rows that are brought for a layer which never comes
            using var batch = new StepBatch(backend, 1, 1, decoder.Cache.Blocks);
            batch.SetDecode([1002], [sequence.Blocks]);
            decoder.Cache.Prepare(batch);
            backend.Prefetch(decoder.Cache.Layers[1], batch, decoder.Policy.Selection!);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_accelerator_that_fails_wherever_leaves_nothing(bool forGood)
    {
        using var backend = Open();
        using var weights = RandomModel.Create(backend, Config, WeightFormat.F16, _seed);
        var options = Options("double-sparsity:tokens=1/4,channels=8", KvFormat.Int8, 768) with { KvPlacement = KvPlacement.Host, HotTokens = 64, KvPrediction = KvPrediction.Late };
        float[] expected = Steps(); // and what the backend keeps for itself is there
        long before = backend.Memory.LiveBytes;
        int asked = 0, failing = int.MaxValue;
        var operations = new List<string>();
        backend.Device.Before = operation =>
        {
            asked++;
            if (failing == int.MaxValue) operations.Add(operation);
            if (forGood ? asked >= failing : asked == failing) throw new CudaDriverException(700, "CUDA_ERROR_ILLEGAL_ADDRESS", "said by a test");
        };
        try
        {
            Steps();
            int all = asked;
            var random = new Random(_seed);
            // every allocation of the decoder, which takes no time, and some of what follows, but for what disposing asks for: kernels of a prompt and of steps with rows on their way, waits
            int made = operations.TakeWhile(operation => operation is "allocate" or "pin" or "wait").Count();
            foreach (int place in (int[])[.. Enumerable.Range(1, made), .. Enumerable.Range(0, 4).Select(_ => random.Next(made + 1, all - 12))])
            {
                (asked, failing) = (0, place);
                var e = Assert.ThrowsAny<Exception>(() => Steps());
                Assert.True(e is CudaDriverException || e is InsufficientMemoryException, $"{e} at {place} of {all} (seed {_seed})");
                Assert.Contains("CUDA_ERROR_ILLEGAL_ADDRESS", e.Message, StringComparison.Ordinal);
                Assert.True(backend.Memory.LiveBytes == before && backend.HostMemory.LiveBytes == 0, $"{backend.Memory.LiveBytes - before} and {backend.HostMemory.LiveBytes} bytes stay at {place} of {all} (seed {_seed})");
            }
        }
        finally
        {
            backend.Device.Before = null;
        }
        Assert.Equal(expected, Steps());

        float[] Steps()
        {
            using var decoder = new LlamaDecoder(backend, weights, options);
            using var sequence = decoder.NewSequence();
            Contents(decoder, new Random(_seed), sequence, 600);
            decoder.Prefill(sequence, [1, 2]);
            decoder.Decode([sequence], [3]);
            return decoder.Decode([sequence], [4]).ToArray();
        }
    }

    private GpuBackend Open() => GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
}

public sealed class CpuAcceleratorHostKvMemoryTests(Accelerators accelerators) : HostKvMemoryTests(accelerators, GpuKind.CpuAccelerator);

public sealed class CudaHostKvMemoryTests(Accelerators accelerators) : HostKvMemoryTests(accelerators, GpuKind.Cuda);
