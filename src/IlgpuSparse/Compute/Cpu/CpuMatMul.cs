using System.Runtime.Intrinsics;
using IlgpuSparse.Compute.Cpu.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// Products with a weight matrix in the format of the file: one row of X by fused dot products (<see cref="MatVecJob{V, F}"/>), a few by rows of W decoded once for all of them
/// (<see cref="FewRowsJob{V, F}"/>), many by blocked multiplication (<see cref="GemmJob{V, F}"/>).
/// </summary>
internal static unsafe class CpuMatMul
{
    // From here on the blocked product wins, whose vectors have room for sixteen rows.
    private const int GemmRows = 13;

    public static void Run(WorkerPool pool, WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias, bool accumulate)
    {
        if (bias is not null && (long)bias.Rows * bias.Columns != weight.Rows)
            throw new ArgumentException($"bias {bias.Name} has {(long)bias.Rows * bias.Columns} numbers for the {weight.Rows} outputs of {weight.Name}", nameof(bias));
        nint biasFloats = bias is null ? 0 : (nint)CpuVectorOperand.Floats(pool, bias);
        Run(pool, new MatMulOperands(weight.Format, (nint)((CpuBuffer)weight.Data).Data, weight.Rows, weight.Columns,
            (nint)CpuBuffer.Pointer<float>(x), rows, (nint)CpuBuffer.Pointer<float>(y), biasFloats, accumulate));
    }

    public static void Run(WorkerPool pool, in MatMulOperands operands)
    {
        if (Vector512.IsHardwareAccelerated) Run<Simd512>(pool, operands);
        else if (Vector256.IsHardwareAccelerated) Run<Simd256>(pool, operands);
        else Run<Simd128>(pool, operands);
    }

    /// <summary>As <see cref="Run(WorkerPool, in MatMulOperands)"/> with vectors of a given width.</summary>
    public static void Run<V>(WorkerPool pool, in MatMulOperands operands) where V : struct, ISimd<V>
    {
        switch (operands.Format)
        {
            case WeightFormat.F32: Run<V, F32Weights>(pool, operands); break;
            case WeightFormat.F16: Run<V, F16Weights>(pool, operands); break;
            case WeightFormat.BF16: Run<V, BF16Weights>(pool, operands); break;
            case WeightFormat.Q8_0: Run<V, Q8_0Weights>(pool, operands); break;
            case WeightFormat.Q4_0: Run<V, Q4_0Weights>(pool, operands); break;
            case WeightFormat.Q4_1: Run<V, Q4_1Weights>(pool, operands); break;
            case WeightFormat.Q4_K: Run<V, Q4_KWeights>(pool, operands); break;
            case WeightFormat.Q5_K: Run<V, Q5_KWeights>(pool, operands); break;
            case WeightFormat.Q6_K: Run<V, Q6_KWeights>(pool, operands); break;
            default: throw new ArgumentOutOfRangeException(nameof(operands), operands.Format, "unknown weight format");
        }
    }

    private static void Run<V, F>(WorkerPool pool, in MatMulOperands operands) where V : struct, ISimd<V> where F : struct, IWeightFormat
    {
        if (operands.Rows == 1) MatVecJob<V, F>.Run(pool, operands);
        else if (operands.Rows < GemmRows) FewRowsJob<V, F>.Run(pool, operands);
        else GemmJob<V, F>.Run(pool, operands);
    }
}
