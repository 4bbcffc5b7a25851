using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The generated code of every kernel variant, read instead of run: needs no GPU. It is made on all cores, for which the CPU accelerator's threads, which wait for each other, would not be good company.</summary>
[Collection("accelerators")]
public sealed partial class KernelCodeTests
{
    [Theory]
    [InlineData(8, 0)]
    [InlineData(9, 0)]
    public void PtxOfEveryVariantIsClean(int major, int minor)
    {
        var faults = new ConcurrentBag<string>();
        KernelCode.Each(KernelCatalog.All.Where(variant => variant.RunsOn(major, minor)), variant =>
        {
            foreach (string fault in KernelCode.Faults(KernelCode.Ptx(variant, major, minor))) faults.Add($"{variant.Name}: {fault}");
        });
        Assert.True(faults.IsEmpty, string.Join(Environment.NewLine, faults));
    }

    // One of each kernel: for all of them it would take as long as all other tests of the code do.
    [Fact]
    public void PtxIsTheSameForAllArchitectures()
    {
        var faults = new ConcurrentBag<string>();
        KernelCode.Each(KernelCatalog.All.Where(variant => variant.RunsOn(8, 0)).GroupBy(variant => variant.Method.DeclaringType).Select(variants => variants.Last()), variant =>
        {
            string[] texts = [.. KernelCode.Texts(variant, new CudaArchitecture(8, 0), new CudaArchitecture(9, 0)).Select(text => Numbers().Replace(text, ""))];
            Assert.Contains(".entry", texts[0], StringComparison.Ordinal);
            if (texts[0] != texts[1]) faults.Add(variant.Name);
        });
        Assert.True(faults.IsEmpty, string.Join(Environment.NewLine, faults));
    }

    [Fact]
    public void EveryKernelWaitsForThoseBeforeIt()
    {
        var faults = new ConcurrentBag<string>();
        KernelCode.Each(KernelCatalog.All, variant =>
        {
            if (variant.RunsOn(8, 0) && KernelCode.Ptx(variant).Contains("griddepcontrol", StringComparison.Ordinal)) faults.Add($"{variant.Name}: too new for sm_80");
            string ptx = KernelCode.Ptx(variant, 9, 0), entry = KernelCode.Entry(ptx);
            int wait = entry.IndexOf("griddepcontrol.wait;", StringComparison.Ordinal), early = entry.IndexOf("griddepcontrol.launch_dependents;", StringComparison.Ordinal);
            bool fused = variant.Method.DeclaringType == typeof(FusedStepKernel);
            if (!ptx.Contains(".target sm_90", StringComparison.Ordinal) || early < 0 || wait < 0 || ((variant.HoldsNext || fused) && early < wait)) faults.Add($"{variant.Name}: no wait, or too old a target");
            // nothing but weights is read before (and by a fused step, dense attention and the projection before them what kernels before have no hand in), and nothing written but shared memory
            bool rows = variant.Method.DeclaringType == typeof(RowStreamKernel) || variant.Method.DeclaringType == typeof(RowDigitKernel);
            bool cached = fused || (rows && variant.Method.GetGenericArguments().Contains(typeof(QkvEpilogue))) || (variant.Method.DeclaringType == typeof(TensorDecodeKernel) && variant.Method.GetGenericArguments().Contains(typeof(DenseTokens)));
            string before = EarlyCode.Of(entry);
            // position, frequency and block
            if (rows && Regex.Count(before, @"ld\.global\.(?!nc\.)") > 3) faults.Add($"{variant.Name}: reads more than a rotation and a place before it has waited");
            if (Regex.IsMatch(before, @"\s(st\.global|red|atom)\.") || (!cached && Regex.IsMatch(before, @"ld\.global\.(?!nc\.)"))) faults.Add($"{variant.Name}: works before it has waited");
        });
        Assert.True(faults.IsEmpty, string.Join(Environment.NewLine, faults));
    }

    // K and V of tokens that lie in the cache; the row's own, and queries, come from kernels before.
    [Fact]
    public void DenseAttentionAsksForRowsBeforeEarlierKernelsHaveFinished()
    {
        foreach (var element in new[] { typeof(TensorF16), typeof(TensorBF16) })
        {
            string entry = KernelCode.Entry(KernelCode.Ptx(TensorDecodeKernel.Variant(element, 128, DecodeTuning.Dense, typeof(DenseTokens)), 9, 0));
            string early = EarlyCode.Of(entry);
            Assert.Contains("cp.async.cg.shared.global", early, StringComparison.Ordinal);
            Assert.DoesNotContain("cp.async.wait_group", early, StringComparison.Ordinal);
            Assert.DoesNotMatch(@"ld\.global\.v[24]\.f32", early);
            // the next kernel is let in before outputs are merged, and not before
            Assert.DoesNotContain("griddepcontrol.launch_dependents;", early, StringComparison.Ordinal);
            Assert.Equal(1, Regex.Count(entry, @"griddepcontrol\.launch_dependents;"));
            string selected = EarlyCode.Of(KernelCode.Entry(KernelCode.Ptx(TensorDecodeKernel.Variant(element, 128, DecodeTuning.Selected, typeof(SelectedTokens)), 9, 0)));
            Assert.DoesNotContain("ld.global", selected, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void VariantsAreListedOnce()
    {
        var names = KernelCatalog.All.Select(variant => variant.Name).ToList();
        Assert.Equal(names.Distinct().Count(), names.Count);
    }

    [Fact]
    public void OpenClOfEveryPortableVariantIsValid()
    {
        var sources = new ConcurrentBag<(string Name, string Source)>();
        KernelCode.Each(KernelCatalog.All.Where(variant => !variant.CudaOnly), variant => sources.Add((variant.Name, KernelCode.OpenCl(variant))));
        Assert.NotEmpty(sources);
        Assert.All(sources, s => Assert.Contains("kernel void", s.Source, StringComparison.Ordinal));
        Assert.All(sources, s => Assert.Empty(UnwrittenValues.OfOpenCl(s.Source)));
        Assert.All(sources, s => Assert.DoesNotContain("work_group_barrier ( CLK_GLOBAL_MEM_FENCE )", s.Source, StringComparison.Ordinal)); // leaves shared memory unordered
        string? clang = KernelCode.FindClang();
        Assert.SkipWhen(clang is null, "all OpenCL C was generated, but there is no clang to check it with");
        string folder = Directory.CreateTempSubdirectory("kernels").FullName;
        try
        {
            // one compiler call for all: each file is its own translation unit
            var files = sources.Select((s, i) =>
            {
                string path = Path.Combine(folder, $"{i}.cl");
                File.WriteAllText(path, $"// {s.Name}\n{s.Source}");
                return path;
            }).ToList();
            var start = new ProcessStartInfo(clang!) { RedirectStandardError = true };
            foreach (string argument in (string[])["-x", "cl", "-cl-std=CL2.0", "-fsyntax-only", "-target", "spir64", "-w", .. files]) start.ArgumentList.Add(argument);
            using var process = Process.Start(start)!;
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, errors);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void FaultsAreSeen()
    {
        // the checks themselves: an array indexed by a loop that is not unrolled lies in local memory
        var variant = KernelVariant.Of(IndexedArray, 32) with { Unroll = 0 };
        Assert.Contains(KernelCode.Faults(KernelCode.Ptx(variant)), fault => fault.StartsWith("local memory", StringComparison.Ordinal));
        Assert.Empty(KernelCode.Faults(KernelCode.Ptx(variant with { Unroll = 32 })));
        string[] faults = [.. KernelCode.Faults(".entry k\n\tcall f, ();\n\tld.f32 %f1, [%rd1];\n\t@%p1 bra.uni L;\n\tadd.f64 %fd1, %fd2, %fd1;\n\t{ .reg .b32 s; mov.b32 {s, %r2}, %r1; }\n\tst.global.v2.f32 [%rd1], {%f1, %f2};\n")];
        foreach (string kind in (string[])["call", "generic address", "uniform branch", "double precision"]) Assert.Single(faults, fault => fault.StartsWith(kind, StringComparison.Ordinal));
        string[] halves = ["sub.rn.f16x2 %r1, %r1, 1686135936;", "fma.rn.bf16x2 %r1, 0x3f803f80, %r1, %r1;", "cvt.f32.f16 %f1, 0;"];
        Assert.Equal(halves.Select(line => "constant half: " + line), KernelCode.Faults(".entry k\n\t" + string.Join("\n\t", halves) + "\n\tsub.rn.f16x2 %r1, %r1, %r1;\n\tcvt.rn.f16x2.f32 %r1, %f1, 0f00000000;\n").Where(fault => fault.StartsWith("constant", StringComparison.Ordinal)));
        Assert.Equal(["%f2", "%fd2", "%p1", "%r1", "%rd1"], faults.Where(fault => fault.StartsWith("never written: ", StringComparison.Ordinal)).Select(fault => fault["never written: ".Length..]).Order(StringComparer.Ordinal));
        Assert.Equal(["var3"], UnwrittenValues.OfOpenCl("kernel void k(\n\tglobal float* view_0,\n\tint var0)\n{\n\tfloat var1;\n\tfloat var2;\n\tfloat var3;\n\tlocal float var4[8];\n\tvar1 = var0;\n\tvar2 = (float)((float) var3 + (float)var1);\n\t *  var4 = var2;\n}"));
    }

    [Theory]
    [InlineData(typeof(F32Weights), "ld.global.v4.f32")]
    [InlineData(typeof(F16Weights), "ld.global.v2.b32")]
    [InlineData(typeof(BF16Weights), "ld.global.v2.b32")]
    [InlineData(typeof(Q4_KWeights), "ld.global.v4.b32")]
    [InlineData(typeof(Q5_KWeights), "ld.global.v4.b32")]
    public void WeightsAreLoadedAsVectors(Type codec, string load)
    {
        string ptx = KernelCode.Ptx(MatVecKernel.Variant(codec, typeof(EightRows), typeof(AllRows)));
        Assert.Contains(load, ptx, StringComparison.Ordinal);
        Assert.Equal(8 + (codec == typeof(F32Weights) ? 1 : 0), KernelCode.Count(ptx, "ld.global.v4.f32")); // eight activation rows
    }

    [Theory]
    [InlineData(WeightFormat.F16, 1, 8, "ld.shared.v2.b32", 16)]
    [InlineData(WeightFormat.BF16, 1, 8, "ld.shared.v2.b32", 16)]
    [InlineData(WeightFormat.Q8_0, 0, 16, "ld.shared.b16", 64 + 4)]
    [InlineData(WeightFormat.Q4_0, 0, 16, "ld.shared.b16", 32 + 4)]
    [InlineData(WeightFormat.Q4_K, 0, 16, "ld.shared.b32", 32)]
    [InlineData(WeightFormat.Q5_K, 0, 16, "ld.shared.b32", 64)]
    [InlineData(WeightFormat.Q6_K, 0, 16, "ld.shared.b16", 128 + 10)]
    [InlineData(WeightFormat.Q4_K, 2, 32, "ld.shared.b32", 32)]
    public void WeightsAreCopiedPastTheRegistersAndMultipliedByTensorCores(WeightFormat format, int tiles, int products, string load, int loads)
    {
        string ptx = KernelCode.Ptx(LinearKernel.Variant(format, tiles, typeof(StoreEpilogue)));
        Assert.Equal(products, Regex.Count(KernelCode.Entry(ptx), @"mma\.sync\.aligned\.m16n8k16"));
        Assert.Equal(loads, KernelCode.Count(ptx, load));
        // no weight is loaded to a register from device memory: eight vectors of activations under way, with the norm's weights in two widths, in two places
        int gains = 2 * (8 >> Math.Min(tiles, 2));
        Assert.Equal(16, KernelCode.Count(ptx, "ld.global.v4.f32"));
        Assert.Equal(gains, KernelCode.Count(ptx, "ld.global.nc.v4.u32"));
        Assert.Equal(gains, KernelCode.Count(ptx, "ld.global.nc.v2.u32"));
        Assert.Contains("cp.async.cg.shared.global.L2::cache_hint", ptx, StringComparison.Ordinal);
        // one barrier a tile, three for the activations
        Assert.Equal(4, KernelCode.Count(ptx, "bar.sync"));
    }

    [Fact]
    public void KeysOfAPromptAreLoadedTogether()
    {
        string ptx = KernelCode.Ptx(LabelPrefillKernel.Variant(LabelFormat.Int2));
        // eight keys, offset and step for one place of a channel
        Assert.Equal(LabelPrefillKernel.Tokens + 2, KernelCode.Count(ptx, "ld.global.f32"));
        Assert.Equal(1, KernelCode.Count(ptx, "bar.sync"));
    }

    [Fact]
    public void TilesAreReadAsVectors()
    {
        string ptx = KernelCode.Ptx(MatMulKernel.Variant(typeof(F16Weights), typeof(AllRows)));
        Assert.Equal(64, KernelCode.Count(ptx, "ld.shared.v4.f32"));
        Assert.Equal(2, KernelCode.Count(ptx, "bar.sync"));
    }

    [Fact]
    public void LongStreamsAreReadInSixteenBytes()
    {
        // labels twice: the first of a group, and the next while one is in work
        KernelCode.Each(ScoreKernel.Variants, variant => Assert.Equal(2 * Product(variant.Method.GetGenericArguments()[1..3]), KernelCode.Count(KernelCode.Ptx(variant), "ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32")));
        KernelCode.Each(TensorDecodeKernel.Variants, variant =>
        {
            string entry = KernelCode.Entry(KernelCode.Ptx(variant));
            // rows are read once a step, and say so
            Assert.Matches(@"cp\.async\.cg\.shared\.global\.L2::cache_hint\.L2::128B \[\w+\], \[\w+\], 16, %r\w+, %rd", entry);
            // past caches that do not see what the kernel itself writes: K and V of the row's own token, where every token is attended to
            Assert.DoesNotContain("ld.global.nc", entry, StringComparison.Ordinal);
        });
        var selection = KernelCatalog.All.Where(variant => variant.Method.DeclaringType is { } type && (type == typeof(BinKernel) || type == typeof(HistogramKernel))).ToList();
        Assert.True(selection.Count >= 2);
        Assert.All(selection, variant => Assert.InRange(KernelCode.Count(KernelCode.Ptx(variant), "ld.global.cg.v4.f32"), 4, 8));
        // the last two, and in a loop the next one while those are in work
        Assert.Equal(3, KernelCode.Count(KernelCode.Ptx(SetFilterKernel.Variant), "ld.global.cg.v4.f32"));
        Assert.All(RmsNormKernel.Variants, variant => Assert.InRange(KernelCode.Count(KernelCode.Ptx(variant), "ld.global.v4.f32"), 2, 3));
    }

    [Fact]
    public void ClustersAreDeclaredAndWaitForAllOfTheirGroups()
    {
        var clusters = KernelCatalog.All.Where(variant => variant.ClusterSize > 1).ToList();
        Assert.Equal(FusedStepKernel.Groups.Skip(1), clusters.Select(variant => variant.ClusterSize).Distinct().Order());
        KernelCode.Each(clusters, variant =>
        {
            string ptx = KernelCode.Ptx(variant, 9, 0), entry = KernelCode.Entry(ptx);
            Assert.Matches(@"^\.maxntid 256, 1, 1\n\.minnctapersm 2\n\.explicitcluster\n\.reqnctapercluster " + variant.ClusterSize + @", 1, 1\s*\n\{", entry[entry.IndexOf(".maxntid", StringComparison.Ordinal)..].Replace("\r", "", StringComparison.Ordinal));
            // all groups have begun; and in the rare case of many equal scores these are in memory, and the set is
            string[] waits = [.. Regex.Matches(entry, @"barrier\.cluster\.\S+;").Select(match => match.Value)];
            Assert.Equal(["barrier.cluster.arrive.relaxed;", .. Enumerable.Repeat<string[]>(["barrier.cluster.wait.acquire;", "barrier.cluster.arrive.release;"], 2).SelectMany(pair => pair), "barrier.cluster.wait.acquire;"], waits);
            // Nobody reads from another. Counts of two kinds are sent, tokens of two kinds, and outputs, with their maxima and sums to every rank; each kind but the last two has a barrier word of its own.
            Assert.DoesNotMatch(@"(ld|st)\.shared::cluster", entry);
            Assert.Equal(5 + 2 * variant.ClusterSize, Regex.Count(entry, @"mapa\.shared::cluster\.u32 at, \w+, \S+; mapa\.shared::cluster\.u32 bar, \w+, \S+; st\.async\.shared::cluster\.mbarrier::complete_tx::bytes\.u(32|64) \[at\], \S+, \[bar\];"));
            Assert.Equal(4, Regex.Count(entry, @"mbarrier\.init\.shared\.b64 \[\w+\], 1; fence\.mbarrier_init\.release\.cluster;"));
            Assert.Equal(4, KernelCode.Count(entry, "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64"));
            // before it waits it reads its position, a factor, places and steps of four channels (the blocks of labels to ask for stand in a loop further down); no labels and no queries
            Assert.Equal(10, Regex.Count(entry[..entry.IndexOf("griddepcontrol.wait;", StringComparison.Ordinal)], @"\sld\.global\."));
            // labels as wide as can be, the first and the next; rings of K and V past the registers
            int units = (int)variant.Method.GetGenericArguments()[1].GetProperty(nameof(IKernelCount.Value))!.GetValue(null)!;
            Assert.Equal(2 * units, KernelCode.Count(ptx, "ld.global.nc.L1::no_allocate.L2::cache_hint.v4.u32"));
            Assert.Matches(@"cp\.async\.cg\.shared\.global\.L2::cache_hint\.L2::128B \[\w+\], \[\w+\], 16, %r\w+, %rd", entry);
            // nothing but labels comes by way of the read-only cache: K and V of the row's own token are written here, in memory before anything is sent
            Assert.Equal(2 * units, Regex.Count(entry, @"ld\.global\.nc"));
            string before = entry[..entry.IndexOf("barrier.cluster.wait.acquire;", StringComparison.Ordinal)];
            Assert.Equal(2, Regex.Count(before, @"ld\.global\.v4\.f32"));
            Assert.Equal(1, KernelCode.Count(before, "fence.acq_rel.cluster"));
            Assert.DoesNotContain("st.async", before, StringComparison.Ordinal);
            Assert.Throws<NotSupportedException>(() => KernelCode.Ptx(variant, 8, 0));
        });
    }

    [Fact]
    public void ClustersAreForDriversThatKnowHowTheySend()
    {
        var variant = KernelCatalog.All.First(variant => variant.ClusterSize > 1);
        Assert.Contains("PTX 8.0", Assert.Throws<NotSupportedException>(() => KernelCode.PtxOf(variant, CudaInstructionSet.ISA_80)).Message, StringComparison.Ordinal);
        string ptx = KernelCode.PtxOf(variant, CudaInstructionSet.ISA_81);
        Assert.Contains(".version 8.1", ptx, StringComparison.Ordinal);
        Assert.Contains("st.async", ptx, StringComparison.Ordinal);
    }

    [Fact]
    public void RopeAnglesAreSigned()
    {
        // by way of uint the conversion would be cvt.rn.f32.u32, and the angle lose the sign that keeps it near zero
        string ptx = KernelCode.Ptx(RopeKernel.Variant);
        Assert.Contains("cvt.rn.f32.s32", ptx, StringComparison.Ordinal);
        Assert.DoesNotContain("cvt.rn.f32.u32", ptx, StringComparison.Ordinal);
    }

    // of the target, and of declared names, which go on counting from one kernel of a context to the next
    [GeneratedRegex(@"_\d+\b")]
    private static partial Regex Numbers();

    // the numbers that type arguments of the score kernel stand for
    private static int Product(Type[] counts) => counts.Aggregate(1, (product, count) => product * (int)count.GetProperty(nameof(IKernelCount.Value))!.GetValue(null)!);

    private static void IndexedArray(ILGPU.ArrayView<float> data)
    {
        var values = new float[4];
        for (int i = 0; i < 4; i++) values[i] = data[i];
        float product = 1f;
        for (int i = 0; i < 4; i++) product *= values[i];
        data[0] = product;
    }
}
