using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>What only the CUDA driver can show: these tests are skipped where there is none.</summary>
[Collection("accelerators")]
public sealed class CudaDeviceTests(Accelerators accelerators, CompilingDevices compiling) : IClassFixture<CompilingDevices>
{
    public static TheoryData<string> KernelClasses => [.. KernelCatalog.All.Select(ClassOf).Distinct()];

    private static string ClassOf(KernelVariant variant) => variant.Method.DeclaringType!.Name;

    [Theory, MemberData(nameof(KernelClasses))]
    public void NoKernelUsesLocalMemory(string kernelClass)
    {
        accelerators.Open(GpuKind.Cuda);
        var compiled = compiling.Compile(KernelCatalog.All.Where(variant => ClassOf(variant) == kernelClass));
        var spills = new List<string>();
        foreach (var (variant, resources) in compiled)
        {
            TestContext.Current.TestOutputHelper?.WriteLine($"{variant.Name}: {resources}");
            Assert.InRange(resources.Registers, 1, 255);
            // where there are no more registers to be had the driver may put some of them there, but never an array
            bool most = resources.Registers >= Math.Min(255, 65536 / variant.GroupSize) - 1;
            if (resources.LocalBytes > (most ? 64 : 0)) spills.Add($"{variant.Name}: {resources}");
        }
        Assert.NotEmpty(compiled);
        Assert.True(spills.Count == 0, string.Join(Environment.NewLine, spills));
    }

    [Fact]
    public void GraphsReplayAndTakeNewArguments()
    {
        var device = accelerators.Open(GpuKind.Cuda);
        var ledger = new MemoryLedger();
        var swiGlu = new GpuSwiGlu(device);
        using var gate = new GpuBuffer(device, 4096, "test", ledger);
        using var up = new GpuBuffer(device, 4096, "test", ledger);
        Fill(gate, 1f);
        Fill(up, 2f);
        Action work = () =>
        {
            swiGlu.Run(gate, up, 512, device.Stream);
            swiGlu.Run(gate, up, 512, device.Stream);
        };
        work(); // loads the kernel
        Fill(gate, 1f);
        using var graph = new CudaGraph(device, work);
        Assert.Equal(2, graph.Nodes);
        Assert.Equal(1f, ((DeviceSpan)gate).ToArray<float>(1)[0]); // recording runs nothing
        graph.Run();
        float once = Silu(1f, 2f), twice = Silu(once, 2f);
        Check(gate, 512, twice);

        graph.Update(() =>
        {
            swiGlu.Run(gate, up, 1024, device.Stream);
            swiGlu.Run(gate, up, 1024, device.Stream);
        });
        Fill(gate, 1f);
        graph.Run();
        Check(gate, 1024, twice);

        graph.Update(() => swiGlu.Run(gate, up, 1024, device.Stream)); // another shape
        Assert.Equal(1, graph.Nodes);
        Fill(gate, 1f);
        graph.Run();
        Check(gate, 1024, once);

        // a recording that fails leaves the stream usable
        Assert.Throws<InvalidOperationException>(() => new CudaGraph(device, () => gate.Upload(new byte[16])));
        Assert.Throws<InvalidOperationException>(() => new CudaGraph(device, () => device.Kernels.Load<Action>(SwiGluKernel.Variant with { Unroll = 3 })));
        Fill(gate, 1f);
        graph.Run();
        Check(gate, 1024, once);
    }

    [Fact]
    public void WeightsTakeNoMoreThanIsPlanned()
    {
        var device = accelerators.Open(GpuKind.Cuda);
        using var backend = GpuBackend.Create(device, leaveOpen: true);
        // a hundred matrices, none a multiple of the driver's 2 MiB
        var config = ModelShapes.Find("llama-3-8b", layers: 16) with { VocabularySize = 300, HiddenSize = 1024, IntermediateSize = 2304, Heads = 16, KvHeads = 4, HeadDim = 64 };
        const long step = 2 << 20;
        long planned = RandomModel.PlannedBytes(config, WeightFormat.Q4_K), before = device.UsedBytes!.Value;
        using (RandomModel.Create(backend, config, WeightFormat.Q4_K))
        {
            Assert.Equal(planned, backend.Memory.ByPurpose["weights"]);
            Assert.InRange(device.UsedBytes!.Value - before, planned - step, planned + planned / 100 + step);
        }
        Assert.Equal(0, backend.Memory.LiveBytes);
        Assert.InRange(device.UsedBytes!.Value - before, -step, step);
    }

    [Fact]
    public void EventsTimeTheStream()
    {
        var device = accelerators.Open(GpuKind.Cuda);
        var ledger = new MemoryLedger();
        using var buffer = new GpuBuffer(device, 256 << 20, "test", ledger);
        using var timer = new GpuTimer(device);
        buffer.Clear();
        timer.Start();
        for (int i = 0; i < 8; i++) buffer.Clear();
        timer.Stop();
        // 2 GiB written: no GPU does it in 50 µs, none needs a second
        Assert.InRange(timer.Microseconds, 50, 1e6);
    }

    private static void Fill(GpuBuffer buffer, float value)
    {
        var values = new float[buffer.ByteLength / sizeof(float)];
        Array.Fill(values, value);
        ((DeviceSpan)buffer).Upload<float>(values);
    }

    private static void Check(GpuBuffer buffer, int count, float expected)
    {
        float[] values = ((DeviceSpan)buffer).ToArray<float>(1024);
        for (int i = 0; i < 1024; i++) Assert.Equal(i < count ? expected : 1f, values[i], 1e-5f);
    }

    private static float Silu(float gate, float up) => gate / (1 + MathF.Exp(-gate)) * up;
}
