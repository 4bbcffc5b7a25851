using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The sparse step as one kernel of thread-block clusters, on a CUDA device that has them.</summary>
[Collection("accelerators")]
public sealed class CudaFusedStepTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    public static readonly TheoryData<int, int, int, string> Shapes =
    [
        .. from groups in FusedStepKernel.Groups
           from heads in new[] { (Heads: 2, KvHeads: 2), (Heads: 8, KvHeads: 2), (Heads: 5, KvHeads: 1), (Heads: 8, KvHeads: 1) }
           from label in new[] { "channels=64,bits=2", "channels=99,bits=1", "channels=32,bits=4", "channels=16,bits=8", "channels=60,bits=2,scaling=token" }
           select (groups, heads.Heads, heads.KvHeads, label),
        // labels two beside each other are for sets of one query
        .. from groups in FusedStepKernel.Groups
           from label in new[] { "channels=32,bits=2", "channels=63,bits=1", "channels=16,bits=4,scaling=token" }
           select (groups, 2, 2, label),
    ];

    [Theory, MemberData(nameof(Shapes))]
    public void SetsAndOutputsAreThoseOfKernelsApart(int groups, int heads, int kvHeads, string label)
    {
        var random = new Random(_seed);
        string settings = $"tokens=1/16,{label},reduce={(random.Next(2) == 0 ? "max" : "sum")},sets={(random.Next(2) == 0 ? "group" : "head")},budgets={(random.Next(2) == 0 ? "uniform" : "head")},sinks={random.Next(6)},window={random.Next(1, 40)}";
        Run(groups, new(heads, kvHeads, 128, random.Next(3) == 0 ? random.Next(100, 3000) : 0), (KvFormat)random.Next(1, 3), settings, test => test.Check(random), 1, 2, 17, 255, 257, 1024, 4097, random.Next(1, 9000));
    }

    [Theory]
    [InlineData(1, 20_000)]
    [InlineData(2, 40_001)]
    [InlineData(4, 65_536)]
    [InlineData(6, 66_001)]
    [InlineData(8, 70_001)]
    [InlineData(16, 131_073)]
    public void LongContexts(int groups, int length)
    {
        var random = new Random(_seed);
        Run(groups, new(1, 1, 128), KvFormat.F16, "tokens=1/16,channels=64,bits=2", test => test.Check(random), length, length / 3);
    }

    [Theory]
    // slices whose scores shared memory has room for, and longer ones, of labels as they are and two beside each other, and of sets of several queries; scores that are equal, in slices of both kinds
    [InlineData(1, 2, 2, "channels=64,bits=2", 20_000, false)]
    [InlineData(1, 2, 2, "channels=99,bits=1", 32_768, false)]
    [InlineData(2, 2, 2, "channels=32,bits=2", 60_001, false)]
    [InlineData(3, 8, 2, "channels=27,bits=4,scaling=token", 70_001, false)]
    // shares of warps that are an odd number of steps
    [InlineData(2, 4, 1, "channels=64,bits=2", 55_000, false)]
    [InlineData(2, 8, 2, "channels=99,bits=1", 55_000, false)]
    [InlineData(2, 8, 2, "channels=16,bits=8", 60_000, false)]
    [InlineData(1, 2, 2, "channels=64,bits=2", 30_000, true)]
    [InlineData(2, 2, 2, "channels=64,bits=2", 20_000, true)]
    public void SlicesOfResidentGroups(int groups, int heads, int kvHeads, string label, int length, bool equal)
    {
        var random = new Random(_seed);
        Run(8, new(heads, kvHeads, 128), KvFormat.F16, "tokens=1/16," + label, test => test.Check(random, equal), groups, [length, length / 7]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    [InlineData(16)]
    public void AllScoresEqual(int groups)
    {
        var random = new Random(_seed);
        Run(groups, new(2, 2, 128), KvFormat.F16, "tokens=1/16,channels=64,bits=2,sinks=3,window=30", test => test.Check(random, zeros: true), 900, 1025, 5001, groups == 1 ? 20_000 : 40_000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    [InlineData(16)]
    public void EveryTokenSelectedIsDenseAttention(int groups)
    {
        var random = new Random(_seed);
        Run(groups, new(6, 2, 128), KvFormat.BF16, "tokens=1/1,channels=64,bits=2", test => test.CheckAgainstDense(random), 1, 300, 2049);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    [InlineData(16)]
    public void RecordingsDoTheSame(int groups)
    {
        var random = new Random(_seed);
        Run(groups, new(8, 2, 128), KvFormat.F16, "tokens=1/16,channels=64,bits=2", test => test.CheckRecorded(random), 4097, 100);
    }

    [Theory]
    [InlineData(1, "channels=64,bits=2")]
    [InlineData(2, "channels=99,bits=1")]
    [InlineData(4, "channels=60,bits=2,scaling=token")]
    [InlineData(6, "channels=32,bits=2,sets=head")]
    [InlineData(8, "channels=27,bits=4,sets=head")]
    [InlineData(16, "channels=16,bits=8")]
    public void LabelsOfItsOwnTokens(int groups, string label)
    {
        var random = new Random(_seed);
        Run(groups, new(8, 2, 128), KvFormat.F16, "tokens=1/16," + label, test => test.CheckOwnTokens(random, rows: false), 1, 16, 4097, 100, random.Next(1, 9000));
    }

    [Theory]
    [InlineData(1, 8, 2, KvFormat.F16, 0, "channels=64,bits=2")]
    [InlineData(2, 8, 2, KvFormat.BF16, 0, "channels=99,bits=1")]
    [InlineData(4, 2, 2, KvFormat.F16, 700, "channels=60,bits=2,scaling=token")]
    [InlineData(4, 8, 1, KvFormat.BF16, 0, "channels=64,bits=2,reduce=sum")]
    [InlineData(6, 4, 4, KvFormat.F16, 0, "channels=32,bits=2")]
    [InlineData(8, 8, 2, KvFormat.F16, 0, "channels=27,bits=4,sets=head")]
    [InlineData(16, 2, 2, KvFormat.F16, 0, "channels=16,bits=8")]
    public void KAndVOfItsOwnTokens(int groups, int heads, int kvHeads, KvFormat format, int window, string label)
    {
        var random = new Random(_seed);
        Run(groups, new(heads, kvHeads, 128, window), format, "tokens=1/16," + label, test => test.CheckOwnTokens(random, rows: true), 1, 2, 256, 257, 4097, random.Next(1, 9000));
    }

    [Theory]
    // one sequence, whose selection is a kernel of its own where kernels are apart, and several
    [InlineData(2, 2, KvFormat.F16, new[] { 20_000 })]
    [InlineData(8, 2, KvFormat.BF16, new[] { 40_001, 1, 257 })]
    public void KAndVOfItsOwnTokensInLongContexts(int heads, int kvHeads, KvFormat format, int[] lengths)
    {
        var random = new Random(_seed);
        Run(8, new(heads, kvHeads, 128), format, "tokens=1/16,channels=64,bits=2", test => test.CheckOwnTokens(random, rows: true), lengths);
    }

    [Theory]
    [InlineData("tokens=1/16,channels=64,bits=2,top-p=0.9", KvFormat.F16)]
    [InlineData("tokens=1/16,channels=64,bits=2,mean-value=on", KvFormat.F16)]
    [InlineData("tokens=1/16,channels=64,bits=4", KvFormat.F16)]
    [InlineData("tokens=1/16,channels=64,bits=2", KvFormat.F32)]
    [InlineData("tokens=1/16,channels=64,bits=2", KvFormat.Int8)]
    public void WhatThereIsNoSuchKernelForIsDoneApart(string settings, KvFormat format)
    {
        var random = new Random(_seed);
        Run(null, new(8, 2, 128), format, settings, test => Assert.False(test.IsFused(random)), 300);
    }

    private void Run(int? groups, AttentionShape shape, KvFormat format, string settings, Action<FusedStepCase> check, params int[] lengths) => Run(groups, shape, format, settings, check, null, lengths);

    private void Run(int? groups, AttentionShape shape, KvFormat format, string settings, Action<FusedStepCase> check, int? residentGroups, int[] lengths)
    {
        var device = accelerators.Open(GpuKind.Cuda);
        Assert.SkipUnless(device.HasClusters, $"{device.Report} has no thread-block clusters");
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        backend.Fused.Groups = groups;
        backend.Resident.Groups = residentGroups;
        using var test = new FusedStepCase(backend, new Random(_seed), shape, format, settings, $"seed {_seed}, clusters of {groups}", lengths);
        Assert.SkipWhen(groups > ThreadCluster.PortableSize && !test.IsFused(new Random(_seed)), $"{device.Report} runs no clusters of {groups} groups");
        check(test);
    }
}
