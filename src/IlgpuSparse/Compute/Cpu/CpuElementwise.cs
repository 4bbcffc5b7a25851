using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Cpu;

/// <summary>DRAFT</summary>
internal static unsafe class CpuElementwise
{
    public static void Embed(WeightMatrix table, DeviceSpan ids, int rows, DeviceSpan x) => throw new NotImplementedException();

    public static void RmsNorm(WorkerPool pool, DeviceSpan x, WeightMatrix weight, float epsilon, int rows, DeviceSpan y) => throw new NotImplementedException();

    public static void Rope(WorkerPool pool, RopeTable table, StepBatch batch, int heads, DeviceSpan x) => throw new NotImplementedException();

    public static void SwiGlu(WorkerPool pool, DeviceSpan gate, DeviceSpan up, long count) => throw new NotImplementedException();
}
