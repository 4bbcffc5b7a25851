using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// The sparse step as one kernel, without a GPU: one group a set, and clusters of several groups, which ILGPU's CPU accelerator runs at once (<see cref="EmulatedCluster"/>). What the CUDA tests add is the compiler and the
/// hardware.
/// </summary>
[Collection("accelerators")]
public sealed class FusedStepTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(2, 2, 64, KvFormat.F16, "tokens=1/4,channels=64,bits=2", 0, new[] { 70, 1 })]
    [InlineData(2, 1, 80, KvFormat.BF16, "tokens=33,channels=17,bits=4,sinks=2,window=5", 0, new[] { 34 })]
    [InlineData(5, 1, 64, KvFormat.F16, "tokens=40,channels=64,bits=1,reduce=sum", 90, new[] { 110 })]
    [InlineData(2, 1, 64, KvFormat.F16, "tokens=1/2,channels=16,bits=8,sets=head,budgets=head", 0, new[] { 70 })]
    [InlineData(4, 1, 64, KvFormat.BF16, "tokens=1/8,channels=32,bits=2,scaling=token", 0, new[] { 90 })]
    [InlineData(2, 2, 64, KvFormat.BF16, "tokens=1/8,channels=12,bits=4,scaling=token", 0, new[] { 300 })]
    [InlineData(2, 2, 64, KvFormat.F16, "tokens=1/4,channels=50,bits=1,sinks=2,window=5", 120, new[] { 290, 3 })]
    public void OneGroupASet(int heads, int kvHeads, int headDim, KvFormat format, string settings, int window, int[] lengths) =>
        Run(accelerators.Open(GpuKind.CpuAccelerator), new(heads, kvHeads, headDim, window), format, settings, (test, random) => test.Check(random), lengths);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void EveryTokenSelectedIsDenseAttention(bool clusters) =>
        Run(clusters ? accelerators.OpenEmulatingClusters(4) : accelerators.Open(GpuKind.CpuAccelerator), new(3, 1, 64), KvFormat.F16, "tokens=1/1,channels=32,bits=4", (test, random) => test.CheckAgainstDense(random), 277);

    [Theory]
    [InlineData(2, 2, 64, KvFormat.F16, "tokens=1/4,channels=64,bits=2", new[] { 70, 1 })]
    [InlineData(2, 1, 64, KvFormat.F16, "tokens=1/4,channels=48,bits=2,sets=head", new[] { 17 })]
    [InlineData(2, 1, 80, KvFormat.BF16, "tokens=33,channels=17,bits=4,sinks=2,window=5", new[] { 34 })]
    [InlineData(2, 1, 128, KvFormat.F16, "tokens=40,channels=128,bits=1", new[] { 110, 257 })]
    [InlineData(2, 1, 64, KvFormat.F16, "tokens=1/2,channels=16,bits=8", new[] { 70 })]
    [InlineData(4, 1, 64, KvFormat.BF16, "tokens=1/8,channels=32,bits=2,scaling=token", new[] { 90 })]
    [InlineData(4, 1, 64, KvFormat.F16, "tokens=1/8,channels=23,bits=4,scaling=token", new[] { 45 })]
    public void LabelsOfItsOwnTokens(int heads, int kvHeads, int headDim, KvFormat format, string settings, int[] lengths) =>
        Run(accelerators.Open(GpuKind.CpuAccelerator), new(heads, kvHeads, headDim), format, settings, (test, random) => test.CheckOwnTokens(random, rows: false), lengths);

    [Fact]
    public void ClustersMakeTheLabelsOfTheirOwnTokens() =>
        Run(accelerators.OpenEmulatingClusters(3), new(1, 1, 64), KvFormat.F16, "tokens=1/4,channels=64,bits=2", (test, random) => test.CheckOwnTokens(random, rows: false), 300);

    [Theory]
    // the first token of a sequence; the last and the first of a block
    [InlineData(2, 2, 64, KvFormat.F16, "tokens=1/4,channels=64,bits=2", 0, new[] { 70, 1 })]
    [InlineData(2, 1, 64, KvFormat.BF16, "tokens=1/4,channels=48,bits=2,sets=head", 0, new[] { 257 })]
    [InlineData(4, 1, 80, KvFormat.F16, "tokens=33,channels=17,bits=4,sinks=2,window=5", 0, new[] { 256 })]
    [InlineData(5, 1, 128, KvFormat.BF16, "tokens=40,channels=64,bits=1,reduce=sum", 90, new[] { 110 })]
    [InlineData(1, 1, 128, KvFormat.F16, "tokens=1/2,channels=16,bits=8,scaling=token", 0, new[] { 17 })]
    public void KAndVOfItsOwnTokens(int heads, int kvHeads, int headDim, KvFormat format, string settings, int window, int[] lengths) =>
        Run(accelerators.Open(GpuKind.CpuAccelerator), new(heads, kvHeads, headDim, window), format, settings, (test, random) => test.CheckOwnTokens(random, rows: true), lengths);

    [Fact]
    public void ClustersWriteKAndVOfTheirOwnTokens() =>
        Run(accelerators.OpenEmulatingClusters(4), new(1, 1, 64), KvFormat.F16, "tokens=1/4,channels=64,bits=2", (test, random) => test.CheckOwnTokens(random, rows: true), 300);

    [Theory]
    [InlineData(4, 2, 64, KvFormat.F16, "tokens=1/4,channels=64,bits=2", 0, 400, false)]
    [InlineData(4, 1, 128, KvFormat.BF16, "tokens=70,channels=128,bits=1,sinks=4,window=20", 0, 200, false)]
    [InlineData(4, 1, 64, KvFormat.F16, "tokens=50,channels=64,bits=2", 150, 300, false)]
    // fewer tokens than tiles and groups
    [InlineData(4, 1, 64, KvFormat.F16, "tokens=3,channels=64,bits=2", 0, 5, false)]
    // all scores equal: those that can be ranked, and more than that
    [InlineData(4, 1, 64, KvFormat.F16, "tokens=70,channels=64,bits=2", 0, 250, true)]
    [InlineData(4, 1, 64, KvFormat.F16, "tokens=70,channels=64,bits=2", 0, 1100, true)]
    // no power of two: shares of tokens, tiles and outputs that are not alike; eight heads of the largest size, whose outputs and sums fill the histogram's place
    [InlineData(3, 8, 256, KvFormat.F16, "tokens=70,channels=64,bits=2", 0, 200, false)]
    // labels two beside each other
    [InlineData(3, 1, 64, KvFormat.F16, "tokens=1/4,channels=32,bits=2", 0, 401, false)]
    [InlineData(6, 8, 256, KvFormat.F16, "tokens=1/4,channels=64,bits=2", 0, 90, false)]
    public void ClustersOfSeveralGroups(int groups, int heads, int headDim, KvFormat format, string settings, int window, int length, bool equal) =>
        Run(accelerators.OpenEmulatingClusters(groups), new(heads, 1, headDim, window), format, settings, (test, random) => test.Check(random, equal), length);

    private void Run(GpuDevice device, AttentionShape shape, KvFormat format, string settings, Action<FusedStepCase, Random> check, params int[] lengths)
    {
        var random = new Random(_seed);
        using var backend = GpuBackend.CreateEmulatingTensorCores(device);
        using var test = new FusedStepCase(backend, random, shape, format, settings, $"seed {_seed}", lengths);
        check(test, random);
    }
}
