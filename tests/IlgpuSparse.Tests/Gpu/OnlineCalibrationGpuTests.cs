using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Channel maps of texts on a device: with every token selected, steps are full attention, by labels made of the K that lies there.</summary>
[Collection("accelerators")]
public abstract class OnlineCalibrationGpuTests(Accelerators accelerators, GpuKind kind)
{
    private const int HeadDim = 64, Prompt = 70, Steps = 3;

    [Fact]
    public void Labels_of_a_text_leave_full_attention_when_every_token_is_selected()
    {
        using var backend = GpuBackend.Create(accelerators.Open(kind), leaveOpen: true);
        var random = new Random(5);
        var config = SmallConfig.Of(2, 1, HeadDim, 512);
        var shape = new AttentionShape(2, 1, HeadDim);
        // a piece of a block at a time, as short chunks of a prompt need
        var options = new DecoderOptions { Capacity = 256, PrefillChunk = Prompt, KvFormat = KvFormat.F16, Attention = AttentionOptions.Parse("double-sparsity:tokens=1/1,channels=16,bits=2,map=online") };
        using var cache = new KvCache(backend, config, options.KvFormat, options.Capacity);
        using var online = options.Attention.Create(backend, config, cache, options);
        using var sequence = cache.NewSequence();
        using var batch = new StepBatch(backend, Prompt, 1, cache.Blocks);
        using var y = backend.Allocate(2 * HeadDim * sizeof(float), "test");
        sequence.Reserve(Prompt + Steps);
        for (int start = 0; start < Prompt + Steps;)
        {
            int rows = start == 0 ? Prompt : 1;
            if (start == 0) batch.SetPrefill(0, rows, sequence.Blocks);
            else batch.SetDecode([start], [sequence.Blocks]);
            using var q = Upload(rows * 2 * HeadDim);
            using var k = Upload(rows * HeadDim);
            using var v = Upload(rows * HeadDim);
            backend.AppendKv(shape, cache.Layers[0], batch, k, v);
            online.Append(0, batch, k);
            if (start == 0) online.Observe(0, batch, q);
            else
            {
                backend.Attend(shape, cache.Layers[0], batch, q, y);
                float[] expected = ((DeviceSpan)y).ToArray<float>(2 * HeadDim);
                online.Attend(0, batch, q, y);
                float[] found = ((DeviceSpan)y).ToArray<float>(2 * HeadDim);
                for (int i = 0; i < found.Length; i++) Assert.Equal(expected[i], found[i], 2e-5f);
            }
            start += rows;
        }
        Assert.Equal(1, online.CalibratedMaps);

        DeviceBuffer Upload(int count)
        {
            var buffer = backend.Allocate((long)count * sizeof(float), "test");
            ((DeviceSpan)buffer).Upload<float>(RandomWeights.Normals(random, count));
            return buffer;
        }
    }
}

public sealed class CudaOnlineCalibrationTests(Accelerators accelerators) : OnlineCalibrationGpuTests(accelerators, GpuKind.Cuda);

public sealed class OpenClOnlineCalibrationTests(Accelerators accelerators) : OnlineCalibrationGpuTests(accelerators, GpuKind.OpenCl);

public sealed class CpuAcceleratorOnlineCalibrationTests(Accelerators accelerators) : OnlineCalibrationGpuTests(accelerators, GpuKind.CpuAccelerator);
