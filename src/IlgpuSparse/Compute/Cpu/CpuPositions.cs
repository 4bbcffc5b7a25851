namespace IlgpuSparse.Compute.Cpu;

/// <summary>Positions and ids of decode steps that follow one another without the host.</summary>
internal static unsafe class CpuPositions
{
    /// <summary>See <see cref="ComputeBackend.FeedBack"/>.</summary>
    public static void FeedBack(StepBatch batch, DeviceSpan ids, DeviceSpan history, int slots)
    {
        int* positions = CpuBuffer.Pointer<int>(batch.Positions), tokens = CpuBuffer.Pointer<int>(ids), kept = CpuBuffer.Pointer<int>(history);
        for (int row = 0; row < batch.Rows; row++)
        {
            kept[(long)row * slots + (positions[row] & (slots - 1))] = tokens[row];
            tokens[row] = Math.Max(tokens[row], 0);
            positions[row]++;
        }
    }
}
