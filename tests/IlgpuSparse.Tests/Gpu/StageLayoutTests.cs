using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Which weights maps describe, and where the maps lie.</summary>
[Collection("accelerators")]
public sealed class StageLayoutTests(Accelerators accelerators)
{
    public static TheoryData<GpuKind> Kinds => StageMapTests.Kinds;

    [Fact]
    public void LayoutsOfRowsThatLieSo()
    {
        var device = Open(GpuKind.CpuAccelerator);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        using var memory = backend.Allocate(1 << 20, "test");
        WeightMatrix Of(int rows) => new("test", WeightFormat.Q4_K, rows, 256, memory);
        bool Stored(int rows) => StageLayout.Of(new StoreEpilogue(), [Of(rows)]) is not null;
        bool Rotated(int headDim, bool interleaved, int kvHeads = 2) =>
            StageLayout.Of(new QkvEpilogue { Pairs = headDim / 2, Interleaved = interleaved ? 1 : 0 }, [Of(2 * kvHeads * headDim), Of(kvHeads * headDim), Of(kvHeads * headDim)]) is not null;
        Assert.True(Stored(16) && Stored(48));
        Assert.False(Stored(24) || Stored(15));
        Assert.True(Rotated(64, false) && Rotated(128, false) && Rotated(256, false));
        Assert.True(Rotated(80, true) && Rotated(96, true) && Rotated(24, true));
        // parts of a block are a power of two
        Assert.False(Rotated(80, false) || Rotated(96, false));
        // pairs in fours, and values in tiles of 16
        Assert.False(Rotated(20, true) || Rotated(24, true, kvHeads: 1));

        bool Gated(int rows, int gate, int up)
        {
            var matrices = new[] { backend.Allocate(rows * 144, "test"), backend.Allocate(rows * 144, "test") }.OrderBy(GpuBuffer.Address).ToArray();
            bool described = StageLayout.Of(new SwiGluEpilogue(), [new("gate", WeightFormat.Q4_K, rows, 256, matrices[gate]), new("up", WeightFormat.Q4_K, rows, 256, matrices[up])]) is not null;
            foreach (var matrix in matrices) matrix.Dispose();
            return described;
        }
        Assert.True(Gated(20, 0, 1));
        Assert.False(Gated(20, 1, 0));
        Assert.False(Gated(22, 0, 1));
        // whose they are is known on the device alone
        Assert.Null(StageLayout.Of(new ExpertDownEpilogue(), [Of(16)]));
        Assert.Null(StageLayout.Of(new ExpertGateUpEpilogue(), [Of(16), Of(16)]));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void MapsAreMadeOnceAndFreed(GpuKind kind)
    {
        var device = Open(kind);
        using var maps = new StageMaps(device);
        // more than memory is allocated for at once
        var layouts = Enumerable.Range(1, 400).Select(i =>
        {
            var map = new StageMap(18, 65_536L * i, 2304, 2304, 8 * 2304, 2, 4 * 2304, i, 16 * 2304);
            return new StageLayout(map, map with { Blocks = i + 1 }, map, 8, 16, 1, 1);
        }).ToArray();
        long[] first = [.. layouts.Select(maps.Of)];
        Assert.Equal(layouts.Length, first.Distinct().Count());
        if (kind == GpuKind.Cuda) Assert.All(first, address => Assert.Equal(0, address % StageMap.Size));
        Assert.Equal(first, layouts.Select(maps.Of));
        Assert.Equal(layouts.Length, maps.Layouts);
        Assert.InRange(maps.Memory.LiveBytes, 400 * 3 * StageMap.Size, 2 * 400 * 3 * StageMap.Size);
        maps.Dispose();
        Assert.Equal(0, maps.Memory.LiveBytes);
    }

    [Fact]
    public void AMapThatTheDriverRefusesIsNone()
    {
        var device = Open(GpuKind.Cuda);
        using var maps = new StageMaps(device);
        var map = new StageMap(18, 65_536, 2304, 2304, 8 * 2304, 2, 4 * 2304, Blocks: 0, 16 * 2304);
        var layout = new StageLayout(map, map, map, int.MaxValue, int.MaxValue, 1, 1);
        Assert.Equal(0, maps.Of(layout));
        Assert.Equal(0, maps.Of(layout));
    }

    [Fact]
    public void MapsThatCannotBeAllocatedAreNotRemembered()
    {
        var device = Open(GpuKind.CpuAccelerator);
        using var maps = new StageMaps(device);
        var map = new StageMap(18, 65_536, 2304, 2304, 8 * 2304, 2, 4 * 2304, 1, 16 * 2304);
        var layout = new StageLayout(map, map, map, int.MaxValue, int.MaxValue, 1, 1);
        device.Before = what => throw new OverflowException(what);
        try
        {
            Assert.Contains("maps", Assert.Throws<InsufficientMemoryException>(() => maps.Of(layout)).Message, StringComparison.Ordinal);
        }
        finally
        {
            device.Before = null;
        }
        Assert.Equal(0, maps.Layouts);
        Assert.NotEqual(0, maps.Of(layout));
    }

    private GpuDevice Open(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        Assert.SkipUnless(device.CopiesInBulk, "no copy engine before compute capability 9.0");
        return device;
    }
}
