using System.Text.RegularExpressions;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Products;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The PTX of products of many rows on tensor cores: how often their instructions are in it, and what lies between them.</summary>
public sealed class TensorProductCodeTests
{
    [Theory]
    [InlineData(typeof(PlainOutputs))]
    [InlineData(typeof(GatedOutputs))]
    public void TheLoopIsOneStraightRun(Type outputs)
    {
        string ptx = KernelCode.Ptx(TensorProductKernel.Variant(typeof(TensorF16), ProductTile.Of<WideTile>(1, 1), typeof(AllRows), outputs));
        // four times 16 inputs of a slice: 4 by 8 products, and 4 + 4 loads of which the first are before the loop too
        Assert.Equal(4 * 32, KernelCode.Count(ptx, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"));
        string loop = ptx[ptx.IndexOf("mma.sync", StringComparison.Ordinal)..ptx.LastIndexOf("mma.sync", StringComparison.Ordinal)];
        Assert.Equal(3 * 8, loop.Split("ldmatrix.sync").Length - 1);
        Assert.DoesNotContain("bra", loop, StringComparison.Ordinal);
        Assert.Equal(4 * 12, ptx.Split("cp.async.cg").Length - 1); // 4 of x and 8 of W a thread and slice; three slices are asked for before the loop
        Assert.Contains(".maxntid 256, 1, 1", ptx, StringComparison.Ordinal);
    }

    [Fact]
    public void WarpgroupsGoOnByThemselves()
    {
        var variants = KernelCatalog.All.Where(variant => variant.HasWarpgroups).ToList();
        Assert.Equal(8, variants.Count);
        KernelCode.Each(variants, variant =>
        {
            string ptx = KernelCode.Ptx(variant, 9, 0), entry = KernelCode.Entry(ptx);
            Assert.Contains(".target sm_90a", ptx, StringComparison.Ordinal);
            Assert.Contains(".extern .shared .align 1024 .b8", ptx, StringComparison.Ordinal);
            Assert.Contains(".maxntid 256, 1, 1\n.minnctapersm 1", ptx.Replace("\r", "", StringComparison.Ordinal), StringComparison.Ordinal);
            string element = variant.Method.GetGenericArguments()[0] == typeof(TensorF16) ? "f16" : "bf16";
            // a slice is four products of 16 inputs of 64 rows with 256 outputs; one batch is under way while the next is started
            string[] asynchronous = [.. Regex.Matches(entry, @"wgmma\.\w+(\.[\w.]+)?( \d(?=;))?").Select(match => match.Value)];
            string[] batch = ["wgmma.fence.sync.aligned", .. Enumerable.Repeat($"wgmma.mma_async.sync.aligned.m64n256k16.f32.{element}.{element}", 4), "wgmma.commit_group.sync.aligned", "wgmma.wait_group.sync.aligned 1"];
            int last = Array.IndexOf(asynchronous, "wgmma.wait_group.sync.aligned 0");
            Assert.Equal(batch, asynchronous.Where((_, i) => i != last));
            Assert.Equal(1, KernelCode.Count(ptx, "fence.proxy.async.shared::cta"));
            Assert.Equal(1, KernelCode.Count(ptx, "bar.sync"));
            // every sum is declared once, set to zero and read, and touched by nothing else than products
            Assert.Equal(1, Regex.Count(entry, @"\.reg \.f32 acc<128>;"));
            for (int i = 0; i < 128; i++)
            {
                Assert.Equal(1, Regex.Count(entry, $@"mov\.f32 acc{i}, 0f00000000;"));
                Assert.Equal(1, Regex.Count(entry, $@"mov\.f32 %f\d+, acc{i};"));
                Assert.Equal(2 + 4, Regex.Count(entry, $@"\bacc{i}\b"));
            }
            Assert.False(variant.RunsOn(8, 0) || variant.RunsOn(10, 0) || variant.RunsOn(12, 0));
            Assert.Throws<NotSupportedException>(() => KernelCode.Ptx(variant, 10, 0));
        });
    }
}
