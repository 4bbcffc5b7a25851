using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Cache;

public class CacheSequenceTests
{
    private static readonly LlamaConfig s_config = new()
    {
        ModelType = "llama",
        VocabularySize = 10,
        HiddenSize = 32,
        IntermediateSize = 64,
        Layers = 3,
        Heads = 4,
        KvHeads = 2,
        HeadDim = 16,
        MaxContext = 4096,
        NormEpsilon = 1e-5f,
    };

    [Fact]
    public void Planned_bytes_are_allocated_and_freed()
    {
        using var backend = new CpuBackend(1);
        foreach (var format in new[] { KvFormat.F32, KvFormat.F16, KvFormat.BF16 })
        {
            using (new KvCache(backend, s_config, format, 1000)) Assert.Equal(KvCache.PlannedBytes(s_config, format, 1000), backend.Memory.LiveBytes);
            Assert.Equal(0, backend.Memory.LiveBytes);
        }
        Assert.Equal(2 * 3 * 2 * 16 * 2, KvCache.BytesPerToken(s_config, KvFormat.F16));
    }

    [Fact]
    public void Blocks_are_never_shared_and_all_come_back()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var backend = new CpuBackend(1);
        using var cache = new KvCache(backend, s_config, KvFormat.F16, 40 * KvLayer.BlockTokens);
        var sequences = new List<CacheSequence>();
        for (int step = 0; step < 2000; step++)
        {
            if (sequences.Count == 0 || random.Next(20) == 0) sequences.Add(cache.NewSequence());
            var sequence = sequences[random.Next(sequences.Count)];
            int tokens = random.Next(600);
            if (random.Next(3) == 0) sequence.Rewind(random.Next(sequence.Length + 1));
            else if (KvCache.BlocksFor(sequence.Length + tokens) - KvCache.BlocksFor(sequence.Length) <= cache.FreeBlocks)
            {
                sequence.Reserve(sequence.Length + tokens);
                sequence.Advance(tokens);
            }
            else Assert.Throws<InvalidOperationException>(() => { sequence.Reserve(sequence.Length + (cache.FreeBlocks + 2) * KvLayer.BlockTokens); });
            sequence.Rewind(sequence.Length); // returns what a failed reservation took
            if (random.Next(40) == 0)
            {
                sequence.Dispose();
                sequences.Remove(sequence);
            }
            var used = sequences.SelectMany(s => s.Blocks.Take(KvCache.BlocksFor(s.Length))).ToList();
            Assert.True(used.Count == used.Distinct().Count(), $"seed {seed}: a block is shared");
            Assert.True(used.Count + cache.FreeBlocks == cache.Blocks, $"seed {seed}: blocks are lost");
        }
        foreach (var sequence in sequences) sequence.Dispose();
        Assert.Equal(cache.Blocks, cache.FreeBlocks);
    }

    [Fact]
    public void A_fork_shares_whole_blocks_which_are_free_when_the_last_one_lets_go()
    {
        using var backend = new CpuBackend(1);
        using var cache = new KvCache(backend, s_config, KvFormat.F16, 10 * KvLayer.BlockTokens);
        var first = cache.NewSequence();
        first.Reserve(700);
        first.Advance(700);
        var fork = first.Fork(600);
        Assert.Equal((512, 2, 7), (fork.Length, fork.BlocksHeld, cache.FreeBlocks));
        Assert.Equal(first.Blocks[..2], fork.Blocks[..2]);
        fork.Reserve(513);
        Assert.NotEqual(first.Blocks[2], fork.Blocks[2]);

        // the first one may not write into what the fork reads
        Assert.Equal(600, first.Writable(600));
        Assert.Equal(256, first.Writable(300));
        first.Rewind(300);
        var e = Assert.Throws<InvalidOperationException>(() => first.Reserve(301));
        Assert.Contains("256", e.Message, StringComparison.Ordinal);
        first.Rewind(256);
        first.Reserve(257);
        Assert.NotEqual(first.Blocks[1], fork.Blocks[1]);
        first.Dispose();
        Assert.Equal(7, cache.FreeBlocks);
        fork.Dispose();
        Assert.Equal(10, cache.FreeBlocks);
    }

    [Fact]
    public void Too_much_memory_is_refused_with_the_knob()
    {
        using var backend = new CpuBackend(1);
        var huge = s_config with { KvHeads = 1 << 16, Heads = 1 << 16, HeadDim = 256, Layers = 1000 };
        var e = Assert.Throws<InsufficientMemoryException>(() => new KvCache(backend, huge, KvFormat.F32, int.MaxValue - 1000));
        Assert.Contains("--context", e.Message);
        Assert.Equal(0, backend.Memory.LiveBytes);
    }

    [Fact]
    public void Unknown_formats_are_refused()
    {
        using var backend = new CpuBackend(1);
        Assert.Throws<NotSupportedException>(() => new KvCache(backend, s_config, (KvFormat)99, 256));
    }
}
