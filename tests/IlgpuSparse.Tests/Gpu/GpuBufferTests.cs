using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Gpu;

[Collection("accelerators")]
public sealed class GpuBufferTests(Accelerators accelerators)
{
    private readonly int _seed = Random.Shared.Next();

    [Theory]
    [InlineData(GpuKind.CpuAccelerator)]
    [InlineData(GpuKind.OpenCl)]
    [InlineData(GpuKind.Cuda)]
    public void BytesComeBack(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        var ledger = new MemoryLedger();
        // more than the staging ring holds, and not a multiple of anything
        var bytes = new byte[(PinnedStaging.SlotBytes * 9) + 12345];
        new Random(_seed).NextBytes(bytes);
        using (var buffer = new GpuBuffer(device, bytes.Length, "test", ledger))
        {
            Assert.Equal(bytes.Length, ledger.LiveBytes);
            buffer.Upload(bytes);
            var back = new byte[bytes.Length];
            buffer.Download(back);
            Assert.True(bytes.AsSpan().SequenceEqual(back), $"bytes differ (seed {_seed})");

            buffer.Upload(bytes.AsSpan(0, 1001), 77);
            buffer.Download(back.AsSpan(0, 1001), 77);
            Assert.True(bytes.AsSpan(0, 1001).SequenceEqual(back.AsSpan(0, 1001)), $"bytes inside differ (seed {_seed})");

            buffer.Clear();
            buffer.Download(back);
            Assert.False(back.AsSpan().ContainsAnyExcept((byte)0));
        }
        Assert.Equal(0, ledger.LiveBytes);
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator)]
    [InlineData(GpuKind.Cuda)]
    public void WeightsShareAnAllocation(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        var ledger = new MemoryLedger();
        var random = new Random(_seed);
        int[] sizes = [1001, 64, 70_001];
        var arena = new WeightArena(device, sizes.Select(size => (long)size), ledger);
        Assert.Equal(0, ledger.LiveBytes);
        var contents = Array.ConvertAll(sizes, size => new byte[size]);
        var buffers = new GpuBuffer[sizes.Length];
        foreach (int i in (int[])[2, 0, 1])
        {
            buffers[i] = new GpuBuffer(device, sizes[i], "weights", ledger, arena: arena);
            random.NextBytes(contents[i]);
            buffers[i].Upload(contents[i]);
        }
        Assert.Equal(1024, GpuBuffer.Address(buffers[1]) - GpuBuffer.Address(buffers[0]));
        Assert.Equal(sizes.Sum(), ledger.LiveBytes);
        buffers[0].Upload(contents[0] = [.. contents[0][..900], .. contents[0][..101]]);
        buffers[1].Clear();
        Array.Clear(contents[1]);
        for (int i = 0; i < sizes.Length; i++)
        {
            var back = new byte[sizes[i]];
            buffers[i].Download(back);
            Assert.True(contents[i].AsSpan().SequenceEqual(back), $"bytes of buffer {i} differ (seed {_seed})");
            // a kernel's view begins there too
            Assert.Equal(contents[i][16..32], new DeviceSpan(buffers[i], 16).ToArray<byte>(16));
            Assert.Equal((sizes[i] - 16) / 4, GpuBuffer.View<float>(new DeviceSpan(buffers[i], 16)).Length);
        }

        // what finds no room has memory of its own
        using (var other = new GpuBuffer(device, 512, "weights", ledger, arena: arena))
        {
            Assert.Equal(sizes.Sum() + 512, ledger.LiveBytes);
            other.Upload(contents[2].AsSpan(0, 512));
            Assert.Equal(contents[2][..512], ((DeviceSpan)other).ToArray<byte>(512));
        }
        buffers[2].Dispose();
        buffers[2].Dispose();
        arena.Dispose();
        Assert.False(arena.TryTake(1, out _));
        buffers[0].Dispose();
        Assert.False(arena.IsFreed);
        buffers[1].Dispose();
        Assert.True(arena.IsFreed);
        Assert.Equal(0, ledger.LiveBytes);
    }

    [Fact]
    public void PlacesOutsideAreRefused()
    {
        var device = accelerators.Open(GpuKind.CpuAccelerator);
        var ledger = new MemoryLedger();
        var buffer = new GpuBuffer(device, 64, "test", ledger);
        Assert.Equal(16, GpuBuffer.View<float>(buffer).Length);
        Assert.Equal(12, GpuBuffer.View<float>(new DeviceSpan(buffer, 16)).Length);
        Assert.Contains("multiple of 16", Assert.Throws<ArgumentException>(() => GpuBuffer.View<float>(new DeviceSpan(buffer, 8))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => GpuBuffer.View<float>(buffer, 17));
        Assert.Throws<ArgumentException>(() => GpuBuffer.View<float>(new DeviceSpan(buffer, 80), 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Upload(new byte[8], 60));
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.Download(new byte[8], -1));
        buffer.Dispose();
        buffer.Dispose();
        Assert.Equal(0, ledger.LiveBytes);
        Assert.Throws<ObjectDisposedException>(() => buffer.Upload(new byte[8]));
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator)]
    [InlineData(GpuKind.OpenCl)]
    [InlineData(GpuKind.Cuda)]
    public void TooMuchMemoryIsSaidSo(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        var ledger = new MemoryLedger();
        const long bytes = 1L << 50;
        var e = Assert.Throws<InsufficientMemoryException>(() => new GpuBuffer(device, bytes, "kv", ledger));
        Assert.Contains($"{bytes:N0} bytes for kv", e.Message, StringComparison.Ordinal);
        Assert.Equal(0, ledger.LiveBytes);
    }

    [Theory]
    [InlineData(GpuKind.CpuAccelerator)]
    [InlineData(GpuKind.Cuda)]
    public unsafe void TensorsAreCopied(GpuKind kind)
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(_seed);
        float[] values = [.. Enumerable.Range(0, 24).Select(_ => random.NextSingle())];
        fixed (float* data = values)
        {
            using (var matrix = backend.Load(new ModelTensor("w", "file", WeightFormat.F32, [2, 12], (byte*)data, 96)))
            {
                Assert.Equal((2, 12), (matrix.Rows, matrix.Columns));
                Assert.Equal(values, ((DeviceSpan)matrix.Data).ToArray<float>(24));
                Assert.Equal(96, backend.Memory.ByPurpose["weights"]);
            }
            nint address = (nint)data;
            var e = Assert.Throws<ModelFormatException>(() => backend.Load(new ModelTensor("odd", "some.gguf", WeightFormat.F32, [4, 6], (byte*)address, 96)));
            Assert.Contains("odd", e.Message, StringComparison.Ordinal);
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
    }
}
