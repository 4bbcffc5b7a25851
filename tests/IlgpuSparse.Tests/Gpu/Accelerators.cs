using System.Collections.Concurrent;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>
/// One device of each kind for all tests of the collection "accelerators", opened when the first test asks for it. The variable <see cref="KindsVariable"/> names the kinds that are wanted, separated by commas, where a machine's time is dear:
/// tests of others are skipped.
/// </summary>
public sealed class Accelerators : IDisposable
{
    /// <summary>Environment variable with the kinds to test, as <c>Cuda,OpenCl</c>; all where it is not set.</summary>
    public const string KindsVariable = "ILGPUSPARSE_TEST_KINDS";

    private static readonly string? s_kinds = Environment.GetEnvironmentVariable(KindsVariable);

    private readonly ConcurrentDictionary<GpuKind, GpuDevice> _devices = new();
    private readonly ConcurrentDictionary<int, GpuDevice> _clusters = new();

    /// <summary>The device; skips the test with the reason when there is none.</summary>
    internal GpuDevice Open(GpuKind kind)
    {
        SkipUnlessWanted(kind);
        if (_devices.TryGetValue(kind, out var device)) return device;
        var reports = GpuDevice.Find().Where(report => report.Kind == kind).ToList();
        Assert.SkipWhen(reports.TrueForAll(report => !report.Usable), string.Join("; ", reports));
        return _devices.GetOrAdd(kind, _ => GpuDevice.Open(kind));
    }

    /// <summary>The CPU accelerator with so many groups of a cluster at once, see <see cref="EmulatedCluster"/>.</summary>
    internal GpuDevice OpenEmulatingClusters(int groups)
    {
        SkipUnlessWanted(GpuKind.CpuAccelerator);
        return _clusters.GetOrAdd(groups, GpuDevice.OpenEmulatingClusters);
    }

    private static void SkipUnlessWanted(GpuKind kind) =>
        Assert.SkipWhen(s_kinds is not null && !s_kinds.Split(',').Contains(kind.ToString(), StringComparer.OrdinalIgnoreCase), $"{KindsVariable} is {s_kinds}");

    public void Dispose()
    {
        foreach (var device in _devices.Values.Concat(_clusters.Values)) device.Dispose();
    }
}
