namespace IlgpuSparse.Compute.Gpu;

/// <summary>One device that was looked at, or one kind of device of which there is none.</summary>
/// <param name="Kind">The accelerator.</param>
/// <param name="Index">Its index for <see cref="GpuDevice.Open"/>, counted over the usable devices of its kind; -1 when it is not usable.</param>
/// <param name="Name">The device's own name; empty when there is none.</param>
/// <param name="IsGpu">Whether it is a GPU (an OpenCL device may be a processor).</param>
/// <param name="Detail">Architecture, memory and driver; for an unusable device the reason.</param>
public sealed record DeviceReport(GpuKind Kind, int Index, string Name, bool IsGpu, string Detail)
{
    /// <summary>Whether the kernels can run on it.</summary>
    public bool Usable => Index >= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Kind}: {(Name.Length == 0 ? "none" : Name)} ({Detail})";
}
