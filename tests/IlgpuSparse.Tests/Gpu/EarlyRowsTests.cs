using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Offload;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Which steps may ask for K and V before the kernels before them have ended: those whose rows nobody else writes meanwhile.</summary>
[Collection("accelerators")]
public sealed class EarlyRowsTests(Accelerators accelerators)
{
    [Fact]
    public void WhatAStepBringsOrItsOtherRowsWriteIsNotReadEarly()
    {
        using var backend = GpuBackend.CreateEmulatingTensorCores(accelerators.Open(GpuKind.CpuAccelerator));
        var shape = new AttentionShape(2, 1, 64);
        const long bytes = KvLayer.BlockTokens * 64 * 2;
        using DeviceBuffer k = backend.Allocate(bytes, "kv"), v = backend.Allocate(bytes, "kv");
        var layer = new KvLayer(KvFormat.F16, k, v);
        using var stage = new LayerStage(backend.Device, backend, [layer], 1);
        using var batch = new StepBatch(backend, maxRows: 4, maxSequences: 4, maxBlocks: 1);

        batch.SetDecode([20], [[0]]);
        Assert.True(AttentionLaunch.CanWriteOwn(shape, layer, batch));
        // copies of the same step fill it
        Assert.False(AttentionLaunch.CanWriteOwn(shape, stage.Room(0), batch));
        batch.SetRun(20, 3, [0]);
        Assert.False(AttentionLaunch.CanWriteOwn(shape, layer, batch));
        batch.SetPrefill(20, 1, [0]);
        Assert.False(AttentionLaunch.CanWriteOwn(shape, layer, batch));
    }
}
