using ILGPU.Backends;
using ILGPU.IR;
using ILGPU.IR.Transformations;

namespace IlgpuSparse.Compute.Gpu;

/// <summary>
/// Passes that ILGPU 1.5.3 leaves out at O1, run on each kernel: unrolling of constant loops (so that small arrays live in registers) and inference of global and shared addresses (so
/// that loads are <c>ld.global</c>). O2 would infer addresses too, but marks divergent branches as uniform.
/// </summary>
/// <remarks>
/// Unrolled are counted loops with constant bounds, one induction variable and no break, continue or return. A loop of a single trip is left as it is, so that an array indexed by its
/// variable lies in local memory: give such loops two trips and an <c>if</c>. <see cref="LoopExits"/> comes first, or loops at the end of an <c>if</c> or <c>else</c> would lose their
/// results. What ILGPU compiles wrongly without a word is listed in docs/kernels.md; its own verifier (<see cref="GpuContext"/> switches it on) stops most of it after each pass.
/// </remarks>
/// <param name="unroll">Largest trip count that is unrolled; below 2 for none.</param>
internal readonly struct KernelPasses(int unroll) : IBackendHook
{
    public void FinishedCodeGeneration(IRContext context, Method entryPoint) { }

    public void InitializedKernelContext(IRContext kernelContext, Method kernelMethod)
    {
        if (unroll < 2) return;
        // arms that a type argument rules out, first: with them no loop has to be looked at
        kernelContext.Transform(Transformer.Create(TransformerConfiguration.Empty, new UnreachableCodeElimination(), new DeadCodeElimination(), new SimplifyControlFlow()));
        var builder = Transformer.CreateBuilder(TransformerConfiguration.Empty);
        builder.Add(new LoopExits());
        builder.Add(new LoopUnrolling(unroll));
        builder.Add(new UnreachableCodeElimination());
        builder.Add(new DeadCodeElimination());
        builder.Add(new SimplifyControlFlow());
        kernelContext.Transform(builder.ToTransformer());
    }

    public void OptimizedKernelContext(IRContext kernelContext, Method kernelMethod)
    {
        var builder = Transformer.CreateBuilder(TransformerConfiguration.Empty);
        builder.Add(new InferKernelAddressSpaces(MemoryAddressSpace.Global));
        builder.Add(new LowerStructures());
        builder.Add(new DeadCodeElimination());
        builder.Add(new InferLocalAddressSpaces());
        builder.Add(new DeadCodeElimination());
        kernelContext.Transform(builder.ToTransformer());
    }
}
