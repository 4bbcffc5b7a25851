using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>Biases and norm weights, which operations want as floats.</summary>
internal static unsafe class CpuVectorOperand
{
    /// <summary>All numbers of <paramref name="vector"/>: in place when they are singles already, else in <see cref="CpuScratch.Operand"/>.</summary>
    public static float* Floats(WorkerPool pool, WeightMatrix vector)
    {
        byte* data = ((CpuBuffer)vector.Data).Data;
        if (vector.Format == WeightFormat.F32) return (float*)data;
        int count = checked(vector.Rows * vector.Columns);
        float* floats = pool.Scratch.Operand.Floats(count);
        CpuDequantise.Run(vector.Format, data, floats, count);
        return floats;
    }
}
