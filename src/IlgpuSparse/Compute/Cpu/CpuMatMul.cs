using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuMatMul
{
    public static void Run(WorkerPool pool, WeightMatrix weight, DeviceSpan x, int rows, DeviceSpan y, WeightMatrix? bias, bool accumulate) => throw new NotImplementedException();
}
