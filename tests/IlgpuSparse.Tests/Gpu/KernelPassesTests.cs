using ILGPU;
using ILGPU.Backends;
using ILGPU.Backends.EntryPoints;
using ILGPU.IR;
using ILGPU.IR.Transformations;
using ILGPU.Runtime;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Loops whose results the unrolling of ILGPU loses: the last statement of an arm, so that the loop ends where the arms join.</summary>
[Collection("accelerators")]
public sealed class KernelPassesTests(Accelerators accelerators)
{
    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, ArrayView<float> values, ArrayView<float> results, int words, int kind);

    public static TheoryData<string> Shapes => [nameof(LoopShapes.LoopInIf), nameof(LoopShapes.LoopInConstantElse), nameof(LoopShapes.LoopInBothArms), nameof(LoopShapes.LoopInElseOfElse), nameof(LoopShapes.NestedLoops)];

    [Theory]
    [MemberData(nameof(Shapes))]
    public void CodeKeepsEveryLoop(string shape)
    {
        string ptx = KernelCode.Ptx(Variant(shape));
        Assert.Empty(KernelCode.Faults(ptx));
        int products = shape switch { nameof(LoopShapes.LoopInBothArms) => 8 + 4, nameof(LoopShapes.LoopInElseOfElse) => 8 + 2, nameof(LoopShapes.NestedLoops) => (8 + 1) * LoopShapes.Words, _ => 8 };
        Assert.Equal(products, KernelCode.Count(ptx, "mul.f32"));
        Assert.Empty(UnwrittenValues.OfOpenCl(KernelCode.OpenCl(Variant(shape))));
    }

    [Theory]
    [InlineData(GpuKind.Cuda)]
    [InlineData(GpuKind.OpenCl)]
    public void ResultsAreThoseOfPlainCode(GpuKind kind)
    {
        var device = accelerators.Open(kind);
        float[] inputs = [.. Enumerable.Range(0, 64).Select(i => i % 7 - 2f)];
        foreach (string shape in Shapes.Select(row => row.Data))
        {
            foreach (int branch in (int[])[0, 1, 2])
            {
                using var values = device.Accelerator.Allocate1D(inputs);
                using var results = device.Accelerator.Allocate1D(new float[1]);
                device.Kernels.Load<Launcher>(Variant(shape))(device.Stream, new KernelConfig(1, 1), values.View.AsContiguous(), results.View.AsContiguous(), LoopShapes.Words, branch);
                device.Synchronize();
                Assert.Equal(Expected(shape, inputs, branch), results.GetAsArray1D()[0]);
            }
        }
    }

    [Fact]
    public void UnrollingAloneIsRefused()
    {
        // Should this fail with a new version of ILGPU, LoopExits has become superfluous.
        using var context = GpuContext.Create();
        using var backend = KernelCode.OpenClBackend(context);
        var method = EntryPointDescription.FromExplicitlyGroupedKernel(Variant(nameof(LoopShapes.LoopInIf)).Method);
        Assert.ThrowsAny<Exception>(() => backend.Compile(method, new KernelSpecialization(32, null), new UnrollingAlone()));
    }

    private static KernelVariant Variant(string shape) => shape == nameof(LoopShapes.LoopInConstantElse)
        ? KernelVariant.Of(typeof(LoopShapes), shape, 32, LabelBits.Of(LabelFormat.Int8)) : new KernelVariant(typeof(LoopShapes).GetMethod(shape)!, 32);

    private static float Expected(string shape, float[] values, int kind)
    {
        float sum = 1f;
        for (int word = 0; word < LoopShapes.Words; word++)
        {
            float own = values[word] * 3f, eight = Enumerable.Range(0, 8).Sum(i => values[word * 8 + i] * (i + 2)), four = Enumerable.Range(0, 4).Sum(i => values[word * 4 + i] * (i + 5));
            sum += shape switch
            {
                nameof(LoopShapes.LoopInIf) => kind == 1 ? eight : 0f,
                nameof(LoopShapes.LoopInConstantElse) => eight,
                nameof(LoopShapes.LoopInBothArms) => kind == 1 ? eight : four,
                nameof(LoopShapes.LoopInElseOfElse) => kind == 0 ? own : kind == 1 ? own * 2f : eight,
                _ => kind == 1 ? own : eight,
            };
        }
        return sum;
    }

    private readonly struct UnrollingAlone : IBackendHook
    {
        public void FinishedCodeGeneration(IRContext context, Method entryPoint) { }

        public void InitializedKernelContext(IRContext kernelContext, Method kernelMethod) => kernelContext.Transform(Transformer.Create(TransformerConfiguration.Empty, new LoopUnrolling(32)));

        public void OptimizedKernelContext(IRContext kernelContext, Method kernelMethod) { }
    }
}
