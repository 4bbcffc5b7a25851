using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuExperts
{
    public static void Run(WorkerPool pool, ExpertWeights experts, DeviceSpan x, int rows, DeviceSpan router, DeviceSpan y) => throw new NotImplementedException();
}
