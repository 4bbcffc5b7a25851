using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

public sealed class ComputeBackendsTests
{
    [Fact]
    public void EveryKindIsReported()
    {
        var reports = GpuDevice.Find();
        foreach (var kind in Enum.GetValues<GpuKind>()) Assert.Contains(reports, report => report.Kind == kind);
        Assert.All(reports, report => Assert.NotEqual("", report.Detail));
        Assert.All(reports.Where(report => report.Usable), report => Assert.NotEqual("", report.Name));
    }

    [Fact]
    public void AutoTakesTheBestThereIs()
    {
        var best = GpuDevice.Find().FirstOrDefault(report => report.Usable && report.IsGpu);
        var notTaken = new List<string>();
        using var backend = ComputeBackends.Create("auto", threads: 1, notTaken.Add);
        Assert.Equal(best?.Kind switch { GpuKind.Cuda => "cuda", GpuKind.OpenCl => "opencl", _ => "cpu" }, backend.Name);
        if (best is null) Assert.True(notTaken.Count >= 2, "the reasons for CUDA and OpenCL");
        Assert.All(notTaken, reason => Assert.NotEqual("", reason));
    }

    [Fact]
    public void NamedBackendsOpen()
    {
        using (var cpu = ComputeBackends.Create("cpu", 1)) Assert.Equal("cpu", cpu.Name);
        using (var simulator = ComputeBackends.Create("ilgpu-cpu")) Assert.Equal("ilgpu-cpu", simulator.Name);
    }

    [Theory]
    [InlineData("gpu")]
    [InlineData("cuda:")]
    [InlineData("cuda:-1")]
    [InlineData("cuda:x")]
    [InlineData("cpu:1")]
    [InlineData("")]
    public void UnknownNamesAreRefused(string name) => Assert.Contains("opencl", Assert.Throws<ArgumentException>(() => ComputeBackends.Create(name)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("cuda:99")]
    [InlineData("opencl:99")]
    public void MissingDevicesSayWhy(string name)
    {
        var e = Assert.Throws<InvalidOperationException>(() => ComputeBackends.Create(name));
        Assert.Contains("99", e.Message, StringComparison.Ordinal);
        Assert.Contains("(", e.Message, StringComparison.Ordinal); // what was found instead
    }
}
