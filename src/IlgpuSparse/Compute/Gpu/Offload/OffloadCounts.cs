namespace IlgpuSparse.Compute.Gpu.Offload;

/// <summary>Rows of K and V (a pair each) that selected attention has read, by where they came from.</summary>
/// <param name="HostRows">From host memory.</param>
/// <param name="HotRows">From the hot rows.</param>
/// <param name="ResidentRows">From blocks that stay on the device.</param>
/// <param name="BusBytes">Bytes of K and V that came over the bus, layers that were brought as a whole counted.</param>
internal readonly record struct OffloadCounts(long HostRows, long HotRows, long ResidentRows, long BusBytes);
