using System.Collections.Concurrent;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>One device of each kind for all tests of the collection "accelerators", opened when the first test asks for it.</summary>
public sealed class Accelerators : IDisposable
{
    private readonly ConcurrentDictionary<GpuKind, GpuDevice> _devices = new();
    private readonly ConcurrentDictionary<int, GpuDevice> _clusters = new();

    /// <summary>The device; skips the test with the reason when there is none.</summary>
    internal GpuDevice Open(GpuKind kind)
    {
        if (_devices.TryGetValue(kind, out var device)) return device;
        var reports = GpuDevice.Find().Where(report => report.Kind == kind).ToList();
        Assert.SkipWhen(reports.TrueForAll(report => !report.Usable), string.Join("; ", reports));
        return _devices.GetOrAdd(kind, _ => GpuDevice.Open(kind));
    }

    /// <summary>The CPU accelerator with so many groups of a cluster at once, see <see cref="EmulatedCluster"/>.</summary>
    internal GpuDevice OpenEmulatingClusters(int groups) => _clusters.GetOrAdd(groups, GpuDevice.OpenEmulatingClusters);

    public void Dispose()
    {
        foreach (var device in _devices.Values.Concat(_clusters.Values)) device.Dispose();
    }
}
