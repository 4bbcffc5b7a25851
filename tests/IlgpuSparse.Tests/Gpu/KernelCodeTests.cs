using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Tests.Gpu;

public class KernelCodeTests
{
    [Theory]
    [InlineData(8, 0)]
    [InlineData(9, 0)]
    public void PtxOfEveryVariantIsClean(int major, int minor)
    {
        var faults = new List<string>();
        foreach (var variant in KernelCatalog.All)
            faults.AddRange(KernelCode.Faults(KernelCode.Ptx(variant, major, minor)).Select(fault => $"{variant.Name}: {fault}"));
        Assert.True(faults.Count == 0, string.Join(Environment.NewLine, faults));
    }
}
