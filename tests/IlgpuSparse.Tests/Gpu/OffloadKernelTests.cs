using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Offload;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The code of the kernels that move rows between host and device.</summary>
public sealed class OffloadKernelTests
{
    [Theory]
    [InlineData(8, 0)]
    [InlineData(9, 0)]
    public void Rows_are_moved_in_units_of_16_bytes_with_many_loads_under_way(int major, int minor)
    {
        foreach (var variant in (KernelVariant[])[CopyRowsKernel.Variant, CountRowsKernel.Variant, .. FetchKernel.Variants, KeepKernel.Variant, DropKernel.Variant, ReplayKernel.Variant])
            Assert.Empty(KernelCode.Faults(KernelCode.Ptx(variant, major, minor)));
        foreach (var variant in FetchKernel.Variants) CheckOrder(KernelCode.Entry(KernelCode.Ptx(variant, major, minor)));
    }

    // All loads of a batch before the first store: what keeps the bus busy.
    private static void CheckOrder(string fetch)
    {
        var order = fetch.Split('\n').Select(line => line.Trim()).Where(line => line.StartsWith("ld.global.v4.u32", StringComparison.Ordinal) || line.StartsWith("st.global.v4.u32", StringComparison.Ordinal)).Select(line => line[..2]).ToList();
        Assert.Equal([.. Enumerable.Repeat("ld", 8), .. Enumerable.Repeat("st", 8)], order);
    }
}
