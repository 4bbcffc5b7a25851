using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Attention;

/// <summary>Where <see cref="TensorDecodeKernel"/> has its queries from: the operand of 16 channels by 8 query columns, of which a lane has channels 2t, 2t + 1, 2t + 8, 2t + 9 (t = lane mod 4) of each 16 for query column lane / 4.</summary>
internal interface IQuerySource
{
    /// <summary>The lane's numbers of each 16 channels, times <see cref="AttentionArgs.ScaleLog2"/>: rounded to 16 bits, and the rest.</summary>
    static abstract void Load<TElement, THead>(ArrayView<float> q, ArrayView<U4> fragments, AttentionArgs args, SplitPlace place, int lane, U2[] query, U2[] queryRest)
        where TElement : struct, ITensorElement
        where THead : struct, IHeadSize;
}
