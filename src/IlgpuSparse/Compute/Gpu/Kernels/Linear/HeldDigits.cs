namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>Where a row has as many stages as there are warps, each takes one of every eight rows, always the same. In a loop of its own: to ask in the loop whether they are the same takes what it saves.</summary>
internal readonly struct HeldDigits : IStageDigits
{
    public static bool AreHeld => true;
}
