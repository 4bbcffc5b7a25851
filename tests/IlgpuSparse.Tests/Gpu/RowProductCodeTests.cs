using System.Text.RegularExpressions;
using ILGPU.Runtime.Cuda;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Linear;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The PTX of products of a single row: what is asked for before earlier kernels have finished, by whom, and how often instructions are in it.</summary>
public sealed class RowProductCodeTests
{
    [Fact]
    public void WeightsAreAskedForBeforeEarlierKernelsHaveFinished()
    {
        foreach (var variant in (Func<Type, KernelVariant>[])[LinearRowKernel.Variant, epilogue => RowStreamKernel.Variant(WeightFormat.F16, RowStreamKernel.Depths(WeightFormat.F16)[0], epilogue), epilogue => RowStreamKernel.Variant(WeightFormat.Q8_0, RowStreamKernel.Depths(WeightFormat.Q8_0)[1], epilogue), epilogue => RowDigitKernel.Variant(WeightFormat.Q4_K, RowDigitKernel.Depths(WeightFormat.Q4_K)[0], false, epilogue)])
        {
            string row = KernelCode.Entry(KernelCode.Ptx(variant(typeof(StoreEpilogue)), 9, 0));
            Assert.Contains("L2::cache_hint", EarlyCode.Of(row), StringComparison.Ordinal);
            string expert = KernelCode.Entry(KernelCode.Ptx(variant(typeof(ExpertDownEpilogue)), 9, 0));
            // which expert's is for an earlier one to say
            Assert.DoesNotContain("L2::cache_hint", EarlyCode.Of(expert), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void WeightsOfASingleRowAreLoadedToRegistersBeforeTheActivations()
    {
        string entry = KernelCode.Entry(KernelCode.Ptx(LinearRowKernel.Variant(typeof(StoreEpilogue))));
        // those that nothing has to come before, and those of the loop
        int prepared = entry.IndexOf("setp.lt", entry.IndexOf("L2::cache_hint", StringComparison.Ordinal), StringComparison.Ordinal);
        foreach (string part in (string[])[entry[..prepared], entry[prepared..]])
            Assert.Equal(2 * BF16Row.Depth, Regex.Count(part, @"ld\.global\.nc\.(L1::no_allocate\.)?L2::cache_hint\.v4\.b32"));
        Assert.DoesNotContain("ld.global.v4.f32", entry[..prepared], StringComparison.Ordinal);
        Assert.Equal(1, KernelCode.Count(entry, "bar.sync"));
        Assert.Contains("ld.shared.v4.f32", entry, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WeightFormat.F16, 0, 8, 8, 0)]
    [InlineData(WeightFormat.F16, 1, 8, 8, 0)]
    [InlineData(WeightFormat.Q8_0, 0, 16, 8, 24)]
    [InlineData(WeightFormat.Q8_0, 1, 16, 8, 24)]
    public void WeightsOfASingleRowStreamPastTheRegistersBeforeTheActivations(WeightFormat format, int number, int products, int vectors, int words)
    {
        int depth = RowStreamKernel.Depths(format)[number];
        string ptx = KernelCode.Ptx(RowStreamKernel.Variant(format, depth, typeof(StoreEpilogue)), 9), entry = KernelCode.Entry(ptx);
        Assert.Contains(".target sm_90", ptx, StringComparison.Ordinal);
        // a stage in the loop that asks before anything is awaited, one in each of the loops that ask for the rest of the ring when activations have been asked for and when they are prepared, and one in the loop that multiplies; the next kernel is sent off at the beginning
        string early = EarlyCode.Of(entry);
        int copies = (2 * StreamCodec.Of(format)!.Units + 31) / 32;
        Assert.Equal(copies, Regex.Count(early, @"cp\.async\.cg\.shared\.global\.L2::cache_hint"));
        Assert.Equal(4 * copies, Regex.Count(entry, @"cp\.async\.cg\.shared\.global\.L2::cache_hint"));
        Assert.Contains($"cp.async.wait_group {depth - 1};", entry, StringComparison.Ordinal);
        Assert.DoesNotContain("cp.async.wait_group", early, StringComparison.Ordinal);
        AssertSingleRow(entry, early);
        Assert.Equal(products, Regex.Count(entry, @"mma\.sync\.aligned\.m16n8k16"));
        Assert.Equal(vectors, Regex.Count(entry, @"add\.s32 at, \w+, \d+; ld\.shared\.v4\.b32"));
        Assert.Equal(words, Regex.Count(entry, @"add\.s32 at, \w+, \d+; ld\.shared\.b32"));
        // for the activations, and before the parts of the products are summed
        Assert.Equal(2, KernelCode.Count(ptx, "bar.sync"));
        Assert.Contains(".minnctapersm 2", ptx, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void CodesOfASingleRowAreMultipliedAsTheyAreStored(int number)
    {
        int depth = RowDigitKernel.Depths(WeightFormat.Q4_K)[number];
        string ptx = KernelCode.Ptx(RowDigitKernel.Variant(WeightFormat.Q4_K, depth, false, typeof(StoreEpilogue)), 9), entry = KernelCode.Entry(ptx);
        // a stage in the loop that asks before the wait, one in each of the loops that ask for the rest of the ring when activations have been asked for and when they are prepared, and one in each of the two loops that multiply; each for whole stages and for the rest of a row
        string early = EarlyCode.Of(entry);
        int copies = 2 * ((DigitCodec.Of(WeightFormat.Q4_K)!.Units + 3) / 4);
        Assert.Equal(copies, Regex.Count(early, @"cp\.async\.cg\.shared\.global\.L2::cache_hint"));
        Assert.Equal(5 * copies, Regex.Count(entry, @"cp\.async\.cg\.shared\.global\.L2::cache_hint"));
        Assert.Contains($"cp.async.wait_group {depth - 1};", entry, StringComparison.Ordinal);
        Assert.DoesNotContain("cp.async.wait_group", early, StringComparison.Ordinal);
        AssertSingleRow(entry, early);
        Assert.Equal(2 * 9, Regex.Count(entry, @"mma\.sync\.aligned\.m16n8k32"));
        // digits are loaded before one of the loops, and in the other
        Assert.Equal(2 * 5, Regex.Count(entry, @"add\.s32 at, \w+, \d+; ld\.shared\.v4\.b32"));
        Assert.Equal(2 * 9, Regex.Count(entry, @"add\.s32 at, \w+, \d+; ld\.shared\.v2\.b32"));
        // for the rows' addresses, for the activations, and before the parts of the products are summed
        Assert.Equal(3, KernelCode.Count(ptx, "bar.sync"));
        Assert.Contains(".minnctapersm 2", ptx, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WeightFormat.Q4_K, 0, 9, 5)]
    [InlineData(WeightFormat.Q4_K, 1, 9, 5)]
    [InlineData(WeightFormat.Q8_0, 0, 8, 4)]
    [InlineData(WeightFormat.Q8_0, 1, 8, 4)]
    [InlineData(WeightFormat.Q4_0, 0, 8, 4)]
    [InlineData(WeightFormat.Q6_K, 0, 16, 4)]
    public void StagesOfASingleRowAreRequestsOfTheCopyEngine(WeightFormat format, int number, int products, int vectors)
    {
        var variant = RowDigitKernel.Variant(format, RowDigitKernel.Depths(format)[number], true, typeof(StoreEpilogue));
        Assert.False(variant.RunsOn(8, 9));
        string ptx = KernelCode.Ptx(variant, 9), entry = KernelCode.Entry(ptx), early = EarlyCode.Of(entry);
        // one in the loop that asks before the wait, one in each of those that ask for the rest of the ring, one in each of the two loops that multiply
        const string request = @"cp\.async\.bulk\.tensor\.5d\.shared::cluster\.global\.mbarrier::complete_tx::bytes\.L2::cache_hint";
        Assert.Equal(1, Regex.Count(early, request));
        Assert.Equal(5, Regex.Count(entry, request));
        Assert.Equal(5, Regex.Count(entry, $@"mbarrier\.arrive\.expect_tx\.shared\.b64 _, \[\w+\], {DigitCodec.Of(format)!.Units * 128};"));
        Assert.Equal(1, Regex.Count(early, @"prefetch\.tensormap"));
        Assert.Equal(2, Regex.Count(early, @"mbarrier\.init"));
        Assert.DoesNotContain("cp.async.cg", entry, StringComparison.Ordinal);
        Assert.DoesNotContain("cp.async.wait_group", entry, StringComparison.Ordinal);
        // those of stages, whose parity changes, and that of the activations
        Assert.Equal(3, Regex.Count(entry, @"mbarrier\.try_wait\.parity\.shared\.b64"));
        var waits = Regex.Matches(entry, @"mbarrier\.try_wait\.parity\.shared\.b64 done, \[\w+\], %r\d+;");
        Assert.Equal(2, waits.Count);
        // what depends on the lane alone is worked out before: with a condition of two parts before them ILGPU leaves it in the loops, which takes 2 % longer
        foreach (Match wait in waits) Assert.DoesNotContain("neg.s32", entry[wait.Index..entry.IndexOf("bar.warp.sync", wait.Index, StringComparison.Ordinal)], StringComparison.Ordinal);
        // digits are loaded before one of the loops, and in the other
        Assert.Equal(2 * products, Regex.Count(entry, @"mma\.sync\.aligned\.m16n8k(16|32)"));
        Assert.Equal(2 * vectors, Regex.Count(entry, @"add\.s32 at, \w+, \d+; ld\.shared\.v4\.b32"));
        // for the activations, and before the parts of the products are summed: there is no table of rows
        Assert.Equal(2, KernelCode.Count(ptx, "bar.sync"));
        Assert.Contains(".minnctapersm 2", ptx, StringComparison.Ordinal);
    }

    [Fact]
    public void AWarpByItselfWorksOutWhatTheEpilogueNeeds()
    {
        foreach (var with in (Func<Type, KernelVariant>[])[epilogue => RowStreamKernel.Variant(WeightFormat.F16, 8, epilogue), epilogue => RowDigitKernel.Variant(WeightFormat.Q4_K, 5, false, epilogue)])
        {
            string ptx = KernelCode.Ptx(with(typeof(QkvEpilogue)), 9, 0), entry = KernelCode.Entry(ptx);
            Assert.Contains($".maxntid {32 * RowRing.MaxWarps + 32},", ptx, StringComparison.Ordinal);
            // rotations, while everything before may still run
            Assert.Equal(1, Regex.Count(EarlyCode.Of(entry), @"sin\.approx"));
            Assert.Equal(1, Regex.Count(entry, @"sin\.approx"));
            Assert.Contains($".maxntid {32 * RowRing.MaxWarps},", KernelCode.Ptx(with(typeof(StoreEpilogue)), 9, 0), StringComparison.Ordinal);
        }
    }

    // The next kernel is sent off at the beginning; activations come by the copy engine (and on devices without one through registers), and what is added to is not read.
    private static void AssertSingleRow(string entry, string early)
    {
        Assert.Equal(1, Regex.Count(early, @"griddepcontrol\.launch_dependents;"));
        Assert.Equal(1, Regex.Count(entry, @"griddepcontrol\.launch_dependents;"));
        Assert.Equal(1, Regex.Count(entry, @"cp\.async\.bulk\."));
        Assert.Equal(1, KernelCode.Count(entry, "ld.global.v4.f32"));
        Assert.Equal(2, Regex.Count(entry, @"red\.global\.add\.f32"));
        Assert.DoesNotMatch(@"ld\.global\.(?!nc\.)", early);
        Assert.DoesNotContain("bulk", early, StringComparison.Ordinal);
    }

    [Fact]
    public void OlderDevicesHaveNoCopyEngine()
    {
        foreach (var variant in (KernelVariant[])[RowStreamKernel.Variant(WeightFormat.F16, RowStreamKernel.Depths(WeightFormat.F16)[0], typeof(SwiGluEpilogue)), RowDigitKernel.Variant(WeightFormat.Q4_K, RowDigitKernel.Depths(WeightFormat.Q4_K)[0], false, typeof(QkvEpilogue))])
        {
            Assert.Contains("mbarrier", KernelCode.Ptx(variant, 9, 0), StringComparison.Ordinal);
            string old = KernelCode.Ptx(variant, 8, 0);
            Assert.DoesNotContain("mbarrier", old, StringComparison.Ordinal);
            Assert.DoesNotContain("cp.async.bulk", old, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void TensorMapsAreForDriversThatKnowThem()
    {
        var variant = RowDigitKernel.Variant(WeightFormat.Q4_K, RowDigitKernel.Depths(WeightFormat.Q4_K)[0], true, typeof(StoreEpilogue));
        Assert.Contains("PTX 7.8", Assert.Throws<NotSupportedException>(() => KernelCode.PtxOf(variant, CudaInstructionSet.ISA_78)).Message, StringComparison.Ordinal);
        Assert.Contains("cp.async.bulk.tensor", KernelCode.PtxOf(variant, CudaInstructionSet.ISA_80), StringComparison.Ordinal);
    }
}
