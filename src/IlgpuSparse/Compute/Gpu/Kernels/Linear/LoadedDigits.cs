namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>From shared memory for each stage.</summary>
internal readonly struct LoadedDigits : IStageDigits
{
    public static bool AreHeld => false;
}
