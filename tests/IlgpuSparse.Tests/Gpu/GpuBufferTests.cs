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
