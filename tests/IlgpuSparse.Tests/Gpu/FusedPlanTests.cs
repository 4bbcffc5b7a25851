using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Compute.Gpu.Kernels.Fused;
using IlgpuSparse.Compute.Gpu.Kernels.Selection;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Which steps are fused, with how many groups a set, and how much shared memory they take.</summary>
public sealed class FusedPlanTests
{
    // labels of 128 bits, K and V of 128 channels in 16 bits; kernels apart keep scores where they are made if 264 groups can
    private static FusedPlan Plan(int sets, int context) => new(sets, context, (context + 15) / 16, (context + 15) / 16, false, 512, Resident: sets <= 264 && context <= 264 / sets * SetSlice.MaxTokens);

    // a device of 132 multiprocessors with room for two groups each, eighteen, sixteen or eight of which can be a cluster
    private static ClusterRoom Active(int groups) => groups switch { 1 => new(264, 132), 2 => new(132, 66), 4 => new(66, 30), 6 => new(43, 21), 8 => new(30, 15), 16 => new(15, 7), _ => default };

    private static ClusterRoom Room(int groups) => new(264 / groups, 132 / groups);

    // a group has a multiprocessor to itself where its scores take more than half of the shared memory, and no place where they take more than all
    private static Func<int, ClusterRoom> Fitting(FusedPlan plan) => groups => FusedPlan.SharedBytes(plan.Args(groups, 128, 128, FusedStepKernel.Tuning), 128, groups) switch
    {
        > FusedStepKernel.MaxSharedBytes => default,
        > 113 * 1024 => Active(groups) with { AtOnce = Active(groups).Alone },
        _ => Active(groups),
    };

    [Theory]
    [InlineData(32, 4096, 4)]
    // two clusters of four would share eight multiprocessors, so all may as well share, in smaller parts
    [InlineData(32, 65_536, 6)]
    [InlineData(16, 16_384, 6)]
    // a short context is not worth more groups
    [InlineData(8, 4096, 4)]
    [InlineData(8, 16_384, 8)]
    // one of sixteen would share
    [InlineData(8, 65_536, 8)]
    [InlineData(7, 131_072, 16)]
    [InlineData(1, 262_144, 16)]
    [InlineData(1, 100, 1)]
    // not all at once: fewer groups, so that more are
    [InlineData(67, 16_384, 2)]
    [InlineData(512, 4096, 1)]
    public void SetsGetTheGroupsThatAreDoneSoonest(int sets, int context, int groups) => Assert.Equal(groups, Plan(sets, context).Groups(FusedSteps.On, FusedStepKernel.Groups, Room, Active));

    // the fastest sizes of batches, timed with each
    [Theory]
    [InlineData(64, 32_768, 2)]
    [InlineData(64, 65_536, 2)]
    [InlineData(128, 16_384, 2)]
    [InlineData(128, 32_768, 2)]
    [InlineData(256, 4096, 1)]
    [InlineData(256, 16_384, 1)]
    [InlineData(256, 32_768, 2)]
    [InlineData(256, 65_536, 4)]
    [InlineData(512, 4096, 1)]
    [InlineData(512, 16_384, 1)]
    public void BatchesGetTheGroupsThatWereFastest(int sets, int context, int groups) => Assert.Equal(groups, Plan(sets, context).Groups(FusedSteps.Auto, FusedStepKernel.Groups, Room, Fitting(Plan(sets, context))));

    [Fact]
    public void WhatADeviceCannotRunIsNotChosen()
    {
        Assert.Equal(8, Plan(8, 65_536).Groups(FusedSteps.On, [4, 8, 16], Room, groups => groups == 16 ? default : Active(groups)));
        Assert.Equal(0, Plan(8, 65_536).Groups(FusedSteps.On, [4, 8, 16], Room, _ => default));
        Assert.Equal(0, Plan(1, 100).Groups(FusedSteps.Off, [4, 8, 16], Room, Active));
    }

    [Theory]
    // clusters and kernels apart as they were timed
    [InlineData(32, 4096, true)]
    [InlineData(32, 32_768, true)]
    [InlineData(32, 65_536, true)]
    [InlineData(64, 65_536, true)]
    [InlineData(256, 32_768, true)]
    // two waves of clusters, where kernels apart keep their scores; and four, where they do not
    [InlineData(128, 65_536, false)]
    [InlineData(256, 65_536, true)]
    [InlineData(32, 131_072, false)]
    [InlineData(32, 262_144, false)]
    [InlineData(8, 65_536, true)]
    [InlineData(8, 131_072, false)]
    [InlineData(1, 262_144, false)]
    [InlineData(1, 100, true)]
    public void FusedIsWhatIsDoneSooner(int sets, int context, bool fused)
    {
        var plan = Plan(sets, context);
        Assert.Equal(fused, plan.Groups(FusedSteps.Auto, FusedStepKernel.Groups, Room, Fitting(plan)) > 0);
        Assert.True(plan.Groups(FusedSteps.On, FusedStepKernel.Groups, Room, Fitting(plan)) > 0);
    }

    // as they were timed: sets of four queries have no use for short labels, those of one have
    [Theory]
    [InlineData(8, 65_536, false, true)]
    [InlineData(8, 262_144, false, false)]
    [InlineData(32, 65_536, true, true)]
    [InlineData(32, 262_144, true, false)]
    public void LabelsOfHalfTheLengthAreFusedWhereThatIsDoneSooner(int sets, int context, bool narrow, bool fused)
    {
        var plan = Plan(sets, context) with { Most = context / 64, Budget = context / 64, Narrow = narrow };
        Assert.Equal(fused, plan.Groups(FusedSteps.Auto, FusedStepKernel.Groups, Room, Fitting(plan)) > 0);
    }

    [Fact]
    public void BudgetsOfTheirOwnTakeRoomAndNoTime()
    {
        var plan = Plan(8, 16_384);
        var own = plan with { Most = 16_384 };
        Assert.Equal(8, own.Groups(FusedSteps.Auto, FusedStepKernel.Groups, Room, Active));
        // 16 times as many tiles, and of the large set four more a group, which the one that ranks has fewer
        Assert.Equal(16 * plan.Args(8, 128, 128, FusedStepKernel.Tuning).ListRoom + 4 * 16, own.Args(8, 128, 128, FusedStepKernel.Tuning).ListRoom);
    }

    [Fact]
    public void KernelsAreLoadedOnlyForSizesThatMayBeChosen()
    {
        var asked = new List<int>();
        Assert.Equal(1, Plan(512, 4096).Groups(FusedSteps.On, FusedStepKernel.Groups, Room, groups =>
        {
            asked.Add(groups);
            return Active(groups);
        }));
        Assert.Equal([1], asked);
    }

    [Fact]
    public void SlicesAndListsHoldEveryToken()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int i = 0; i < 300; i++)
        {
            int groups = random.Next(1, 17), unit = 32 << random.Next(3), context = random.Next(1, 300_000), warps = 4 << random.Next(2);
            var plan = Plan(1, context);
            var args = plan.Args(groups, unit, 128, FusedStepKernel.Tuning with { Warps = warps });
            int slice = plan.Slice(groups, unit), stretch = SetSlice.Stretch(slice, warps), parts = (stretch + 1023) / 1024;
            string what = $"seed {seed}: {context} tokens, {groups} groups of {warps} warps, units of {unit}";
            Assert.True((long)slice * groups >= context && slice % unit == 0 && (long)stretch * warps >= slice, what);
            Assert.True(args.WorkUnits * 16 >= slice * sizeof(float) + parts * 2 * warps * 32 * sizeof(uint), what);
            // as the kernel deals out tiles of 16, if the last group had as many as the others
            int tiles = (plan.Budget + 15) / 16, shared = groups == 1 ? tiles : tiles + tiles / 128 * 4, most = Enumerable.Range(0, groups).Max(rank => (int)((long)shared * (rank + 1) / groups - (long)shared * rank / groups));
            Assert.True(args.ListRoom == 16 * most && FusedPlan.SharedBytes(args, 128, groups) == 16 * (FusedLayout.List(128, groups) + args.ListRoom / 4 + args.WorkUnits), what);
        }
    }

    [Fact]
    public void EveryTokenOfASetHasOneGroup()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int i = 0; i < 100; i++)
        {
            int budget = i < 40 ? i + 1 : random.Next(1, 20_000);
            Check<KernelCounts.N1>(budget);
            Check<KernelCounts.N2>(budget);
            Check<KernelCounts.N6>(budget);
            Check<KernelCounts.N16>(budget);
        }

        void Check<TCluster>(int budget) where TCluster : struct, IKernelCount
        {
            int groups = TCluster.Value, room = ClusterShares.Room(budget, groups);
            string what = $"seed {seed}: {budget} tokens, {groups} groups";
            Assert.Equal(0, ClusterShares.First<TCluster>(0, budget));
            Assert.Equal(budget, ClusterShares.First<TCluster>(groups, budget));
            for (int group = 0; group < groups; group++)
            {
                int first = ClusterShares.First<TCluster>(group, budget), end = ClusterShares.First<TCluster>(group + 1, budget);
                Assert.True(first <= end && end - first <= room && first % 16 == 0, $"{what}: group {group} has {first} to {end}, there is room for {room}");
                for (int entry = first; entry < end; entry++) Assert.True(ClusterShares.Owner<TCluster>(entry, budget) == group, $"{what}: {entry} is of {ClusterShares.Owner<TCluster>(entry, budget)}, not {group}");
            }
            // the last one ranks, and has no more than the others
            Assert.True(budget < 16 * groups || budget - ClusterShares.First<TCluster>(groups - 1, budget) <= (groups == 1 ? budget : ClusterShares.First<TCluster>(1, budget) + 16), what);
        }
    }
}
