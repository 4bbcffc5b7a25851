using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;
using IlgpuSparse.Compute.Gpu.Kernels.Weights;
using IlgpuSparse.Model;

namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// Launches <see cref="RowDigitKernel"/>, <see cref="RowStreamKernel"/>, <see cref="LinearRowKernel"/> and <see cref="LinearKernel"/>: products of few activation rows, alone or with what comes before and after them. Each method says whether it could: it needs tensor cores, a format with
/// a codec, whole rows in units of 16 bytes for the formats that are read so, and activations that fit shared memory.
/// </summary>
/// <param name="device">The device.</param>
/// <param name="tensorCores">Whether there are tensor cores, or an emulation of them.</param>
/// <param name="maps">Maps of weights, where kernels may copy by them; null where they may not.</param>
internal sealed class GpuLinear(GpuDevice device, bool tensorCores, StageMaps? maps)
{
    /// <summary>Warps a group on the CPU accelerator, where each thread is one of the operating system.</summary>
    private const int EmulatedWarps = 2;

    /// <summary>Fewest warps a group that keep enough copies in flight to be worth it.</summary>
    private const int MinWarps = 4;

    /// <summary>Most slices of columns; a launch each.</summary>
    private const int MaxSlices = 16;

    private readonly Dictionary<(WeightFormat Format, int Tiles, int RowsPerShare, int Depth, bool ByMaps, Type Epilogue), Delegate> _kernels = [];

    private delegate void Launcher<TEpilogue>(AcceleratorStream stream, KernelConfig config, LinearArgs args, TEpilogue epilogue);

    /// <summary>
    /// Fewest stages a group for which weights are copied by maps that lanes do not copy for <see cref="RowDigitKernel"/> (<see cref="DigitCodec.ByLanes"/>): with fewer, as in small models, most of its warps have nothing to do and save no instructions, and
    /// what the copy engine is asked for, which has to look up a map, is taken to come later than what lanes ask for.
    /// </summary>
    public int FewestStages { get; init; } = RowRing.MaxWarps / 2;

    /// <summary>The neighbours of products of one row.</summary>
    public ProductChain Chain { get; } = new();

    private int SharedLimit => device.IsCuda ? device.MaxSharedBytes : TensorDecodeKernel.HopperSharedBytes;

    /// <summary>
    /// y (+)= x · Wᵀ + bias, with x normalised first where <paramref name="input"/> has a norm. Activations that do not fit shared memory, and have none, are taken a slice of columns at a time.
    /// </summary>
    public bool TryProduct(WeightMatrix weight, LinearInputs input, DeviceSpan y, WeightMatrix? bias, bool accumulate, AcceleratorStream stream)
    {
        var (biasView, biasFormat) = Bias(bias, weight);
        int slices = 1;
        int tiles = LaunchShapes.Groups(weight.Rows, LinearKernel.TileRows);
        var epilogue = new StoreEpilogue
        {
            Y = GpuBuffer.View<float>(y, (long)input.Rows * weight.Rows),
            Bias = biasView,
            Shape = new MatMulShape { Outputs = weight.Rows, Rows = input.Rows, BiasFormat = biasFormat, Accumulate = accumulate ? 1 : 0 },
        };
        var plan = Plan(input, tiles, epilogue, 1, false, weight);
        // rather one launch more than too few warps to have enough copies under way
        while ((plan is null || (device.IsCuda && plan.Warps < LinearKernel.MaxWarps / 2)) && input.Norm is null && slices < MaxSlices) plan = Plan(input with { Slices = ++slices }, tiles, epilogue, 1, false, weight);
        if (plan is null) return false;
        int stages = plan.Codec.RowStages(weight.Columns), sliceStages = (input with { Slices = slices }).SliceStages(stages);
        for (int slice = 0; slice * sliceStages < stages; slice++)
        {
            Launch(plan, input with { Slice = slice, Slices = slices }, tiles, epilogue, stream, 1, weight);
            epilogue.Shape.BiasFormat = 0;
            epilogue.Shape.Accumulate = 1;
        }
        return true;
    }

    /// <summary>y = silu(x · gateᵀ + bias) · (x · upᵀ + bias).</summary>
    public bool TryGateUp(GateUpWeights weights, LinearInputs input, DeviceSpan y, AcceleratorStream stream)
    {
        int tiles = LaunchShapes.Groups(weights.Gate.Rows, 8);
        var (gateBias, gateFormat) = Bias(weights.GateBias, weights.Gate);
        var (upBias, upFormat) = Bias(weights.UpBias, weights.Up);
        var epilogue = new SwiGluEpilogue
        {
            Y = GpuBuffer.View<float>(y, (long)input.Rows * weights.Gate.Rows),
            GateBias = gateBias,
            UpBias = upBias,
            GateBiasFormat = gateFormat,
            UpBiasFormat = upFormat,
            Outputs = weights.Gate.Rows,
        };
        if (Plan(input, tiles, epilogue, 1, false, weights.Gate, weights.Up) is not { } plan) return false;
        Launch(plan, input, tiles, epilogue, stream, 1, weights.Gate, weights.Up);
        return true;
    }

    /// <summary>Queries and keys rotated, values; keys and values into the cache too, except an Int8 one (false in <paramref name="appended"/>).</summary>
    public bool TryQkv(QkvWeights weights, LinearInputs input, RopeTable rope, AttentionShape shape, KvLayer cache, StepBatch batch, DeviceSpan q, DeviceSpan k, DeviceSpan v, AcceleratorStream stream, out bool appended)
    {
        appended = cache.Format != KvFormat.Int8;
        int pairs = shape.HeadDim / 2, keyTile = LaunchShapes.Groups((long)shape.Heads * pairs, 8), valueTile = keyTile + LaunchShapes.Groups((long)shape.KvHeads * pairs, 8);
        int tiles = valueTile + LaunchShapes.Groups(2L * shape.KvHeads * pairs, LinearKernel.TileRows);
        AttentionLaunch.Check(shape, cache);
        var (qBias, qFormat) = Bias(weights.QBias, weights.Q);
        var (kBias, kFormat) = Bias(weights.KBias, weights.K);
        var (vBias, vFormat) = Bias(weights.VBias, weights.V);
        long kvFloats = (long)input.Rows * shape.KvHeads * shape.HeadDim;
        var epilogue = new QkvEpilogue
        {
            Q = GpuBuffer.View<float>(q, (long)input.Rows * shape.Heads * shape.HeadDim),
            K = GpuBuffer.View<float>(k, kvFloats),
            V = GpuBuffer.View<float>(v, kvFloats),
            QBias = qBias,
            KBias = kBias,
            VBias = vBias,
            QBiasFormat = qFormat,
            KBiasFormat = kFormat,
            VBiasFormat = vFormat,
            Frequencies = GpuBuffer.View<float>(rope.InverseFrequencies),
            Cache = AttentionLaunch.View(cache, batch),
            CacheBytes = appended ? cache.Format.ElementBytes() : 0,
            CacheBrain = cache.Format == KvFormat.BF16 ? 1 : 0,
            TableStep = batch.IsPrefill ? 0 : batch.MaxBlocks,
            Heads = shape.Heads,
            KvHeads = shape.KvHeads,
            Pairs = pairs,
            Interleaved = rope.Style == RopeStyle.Interleaved ? 1 : 0,
            KeyTile = keyTile,
            ValueTile = valueTile,
        };
        if (Plan(input, tiles, epilogue, 1, Chain.LeavesRoom, weights.Q, weights.K, weights.V) is not { } plan) return false;
        // With room for attention or without depends on the attention before, and may be otherwise while a graph is recorded, when nothing can be loaded.
        if (Plan(input, tiles, epilogue, 1, !Chain.LeavesRoom, weights.Q, weights.K, weights.V) is { } other) Load<QkvEpilogue>(other, weights.Q.Format);
        Launch(plan, input, tiles, epilogue, stream, 1, weights.Q, weights.K, weights.V);
        return true;
    }

    /// <summary>
    /// The feed-forward of each slot's expert: <paramref name="hidden"/> <c>[slot, intermediate]</c> between, <paramref name="y"/> <c>[slot, hidden]</c> out, neither weighted nor added. Every slot reads
    /// its expert's weights for its one row.
    /// </summary>
    public bool TryExperts(ExpertWeights experts, ExpertSlots slots, int rows, DeviceSpan x, DeviceSpan hidden, DeviceSpan y, AcceleratorStream stream)
    {
        WeightMatrix gate = experts.Gate[0], up = experts.Up[0], down = experts.Down[0];
        int count = rows * experts.Active;
        if (count > LaunchShapes.MaxGridY || !experts.Gate.All(w => Alike(w, gate)) || !experts.Up.All(w => Alike(w, gate)) || !experts.Down.All(w => Alike(w, down))) return false;
        int gateTiles = LaunchShapes.Groups(gate.Rows, 8), downTiles = LaunchShapes.Groups(down.Rows, LinearKernel.TileRows);
        var gateUp = new ExpertGateUpEpilogue { Slots = slots, Y = GpuBuffer.View<float>(hidden, (long)count * gate.Rows), Outputs = gate.Rows };
        var project = new ExpertDownEpilogue { Slots = slots, Y = GpuBuffer.View<float>(y, (long)count * down.Rows), Outputs = down.Rows };
        if (Plan(new LinearInputs(x, 1), gateTiles, gateUp, count, false, gate, up) is not { } first || Plan(new LinearInputs(hidden, 1), downTiles, project, count, false, down) is not { } second) return false;
        Launch(first, new LinearInputs(x, 1) { Total = rows }, gateTiles, gateUp, stream, count, gate, up);
        Launch(second, new LinearInputs(hidden, 1) { Total = count }, downTiles, project, stream, count, down);
        return true;
    }

    private static bool Alike(WeightMatrix a, WeightMatrix b) => a.Format == b.Format && a.Rows == b.Rows && a.Columns == b.Columns;

    // How to launch over tiles of weight rows, in a number of slots and with room for another kernel's groups or without; null where no kernel applies.
    private LinearPlan? Plan<TEpilogue>(LinearInputs input, int rowTiles, TEpilogue epilogue, int slots, bool leavesRoom, params ReadOnlySpan<WeightMatrix> weights)
        where TEpilogue : struct, ILinearEpilogue
    {
        var first = weights[0];
        int rows = input.Rows;
        if (input.Norm is { } norm && Array.IndexOf(WeightCodecs.Plain, norm.Format) < 0) return null;
        if (!tensorCores || rows < 1 || TileCodecs.Of(first.Format) is not { } codec) return null;
        foreach (var weight in weights)
        {
            if (weight.Format != first.Format || weight.Columns != first.Columns) return null;
            if (weight.ByteLength / 2 > int.MaxValue || (codec.Aligned && weight.ByteLength / weight.Rows % 16 != 0)) return null;
        }
        int rowsPerTile = codec.Limbs == 2 ? 4 : 2, tiles = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)((rows + rowsPerTile - 1) / rowsPerTile));
        if (tiles > TileCodecs.MaxTiles) return null;
        if (rows == 1 && RowPlan(codec, weights, 8 * rowTiles, epilogue, slots, leavesRoom) is { Resident: >= 1 } single) return single;
        if (rows == 1 && codec.Scaled) tiles = 0;

        LinearPlan With(int warps)
        {
            int bytes = 16 * LinearMemory.Of(codec.RingUnits, warps, input.SliceStages(codec.RowStages(first.Columns)), codec.Runs, codec.Limbs, rows, Math.Max(1, tiles)).Total;
            // the driver keeps 1 KB of each group for itself
            return new LinearPlan(codec, tiles, warps, bytes, Math.Min((SharedLimit + 1024) / (bytes + 1024), LinearKernel.MaxWarps / warps));
        }
        if (!device.IsCuda) return With(EmulatedWarps);
        // two groups, so that one works while the other waits or prepares; else one large one; else what fits
        if (With(LinearKernel.MaxWarps / 2) is { Resident: >= 2 } two) return two;
        for (int warps = LinearKernel.MaxWarps; warps >= MinWarps; warps /= 2)
            if (With(warps) is { Resident: >= 1 } one) return one;
        return null;
    }

    // For one row, where rows of weights begin at multiples of 16 bytes.
    private LinearPlan? RowPlan<TEpilogue>(TileCodec codec, ReadOnlySpan<WeightMatrix> weights, int pairs, TEpilogue epilogue, int slots, bool leavesRoom)
        where TEpilogue : struct, ILinearEpilogue
    {
        var weight = weights[0];
        if (weight.ByteLength / weight.Rows % 16 != 0) return null;
        if (weight.Format == WeightFormat.BF16)
        {
            int steps = BF16Row.Steps(weight.Columns), rowBytes = LinearRowKernel.SharedBytes(steps);
            return new LinearPlan(codec, -1, device.IsCuda ? LinearRowKernel.MaxWarps : EmulatedWarps, rowBytes, rowBytes > SharedLimit ? 0 : 1, steps);
        }
        if (DigitCodec.Of(weight.Format) is { } digits)
        {
            var plan = new LinearPlan(codec, -1, 0, 0, 1, RowDigitKernel.RowStages(weight.Columns), RowsPerShare: 8);
            int groups = Groups(plan, pairs, slots), eights = pairs / 4 / groups + 1;
            if (slots == 1 && (digits.ByLanes || pairs / 4 * plan.Steps >= groups * FewestStages)) plan = Mapped(plan, StageLayout.Of(epilogue, weights));
            if ((plan.Maps != 0 || digits.ByLanes) && First(RowDigitKernel.Depths(weight.Format), depth => Sized(plan, depth, RowDigitKernel.Units(digits, depth, RowWarps, plan.Steps, eights))) is { } found) return found;
        }
        if (StreamCodec.Of(weight.Format) is { } stream)
        {
            var plan = new LinearPlan(codec, -1, 0, 0, 1, stream.RowStages(weight.Columns), RowsPerShare: 2);
            int most = pairs / Groups(plan, pairs, slots) + 1;
            return First(RowStreamKernel.Depths(weight.Format), depth => Sized(plan, depth, StreamMemory.Of(depth, RowWarps, stream.Units, plan.Steps, stream.Quads, most).Total));
        }
        return null;

        // the first that there is room for; experts' groups may be several a multiprocessor
        LinearPlan? First(int[] depths, Func<int, LinearPlan> with) => depths.Skip(leavesRoom || slots > 1 ? 1 : 0).Select(with).FirstOrDefault(plan => plan.Resident > 0);
    }

    private int RowWarps => device.IsCuda ? RowRing.MaxWarps : EmulatedWarps;

    private LinearPlan Sized(LinearPlan plan, int depth, int units) => plan with { Warps = RowWarps, Depth = depth, SharedBytes = 16 * units, Resident = 16 * units > SharedLimit ? 0 : 1 };

    // Groups of a launch; one a multiprocessor for a single row.
    private int Groups(LinearPlan plan, int pairs, int slots)
    {
        int most = Math.Max(1, device.Multiprocessors * plan.Resident / slots);
        return Math.Min(plan switch { { Steps: 0 } => pairs / 8, { RowsPerShare: > 0 } => 2 * pairs / plan.RowsPerShare, _ => LaunchShapes.Groups(pairs, plan.Warps) }, most);
    }

    // With maps that describe the weights, if there are any.
    private LinearPlan Mapped(LinearPlan plan, StageLayout? layout) =>
        maps is not null && layout is { } described && maps.Of(described) is var address and not 0 ? plan with { Layout = described, Maps = address } : plan;

    private void Launch<TEpilogue>(LinearPlan plan, LinearInputs input, int tiles, TEpilogue epilogue, AcceleratorStream stream, int slots, params ReadOnlySpan<WeightMatrix> weights) where TEpilogue : struct, ILinearEpilogue
    {
        var weight = weights[0];
        var data = GpuBuffer.View<ushort>(weight.Data);
        int stages = plan.Codec.RowStages(weight.Columns), sliceStages = input.SliceStages(stages), firstStage = input.Slice * sliceStages;
        int firstColumn = firstStage * plan.Codec.StageColumns;
        int early = device.CopiesInBulk ? plan.Depth / 2 : plan.Depth;
        var args = new LinearArgs
        {
            Weight0 = GpuBuffer.Address(weight.Data),
            Weight1 = weights.Length > 1 ? GpuBuffer.Address(weights[1].Data) : 0,
            Weight2 = weights.Length > 2 ? GpuBuffer.Address(weights[2].Data) : 0,
            Chunks0 = Chunks(weight),
            Chunks1 = weights.Length > 1 ? Chunks(weights[1]) : 0,
            Chunks2 = weights.Length > 2 ? Chunks(weights[2]) : 0,
            X = GpuBuffer.View<float>(input.X, (long)Math.Max(input.Rows, input.Total) * weight.Columns),
            Norm = input.Norm is { } norm ? GpuBuffer.View<ushort>(norm.Data) : data,
            NormFormat = input.Norm is { } n ? 1 + (int)n.Format : 0,
            Epsilon = input.Epsilon,
            RowUnits = (int)(weight.ByteLength / weight.Rows / 2),
            FirstUnit = firstStage * plan.Codec.Units,
            FirstQuad = firstColumn / 4,
            RowQuads = weight.Columns / 4,
            Columns = Math.Min(weight.Columns - firstColumn, sliceStages * plan.Codec.StageColumns),
            Rows = input.Rows,
            RowStages = plan.Steps > 0 ? plan.Steps : Math.Min(stages - firstStage, sliceStages),
            Tiles = tiles,
            EarlyStages = early,
            NextStages = (plan.Depth - early) / 2,
            BulkInput = device.CopiesInBulk ? 1 : 0,
            StartsNext = typeof(TEpilogue) == typeof(QkvEpilogue) && !Chain.MayStartAttention ? 0 : 1,
        };
        args.Maps = plan.Maps;
        if (plan.Layout is { } described) (args.SecondEight, args.ThirdEight, args.MapShift, args.ThirdMapShift) = (described.SecondEight, described.ThirdEight, described.Shift, described.ThirdShift);
        int groups = Groups(plan, 8 * tiles, slots);
        int shares = plan.RowsPerShare > 0 ? LinearKernel.TileRows * tiles / plan.RowsPerShare : 0;
        args.GroupShare = shares / groups;
        args.MoreShares = shares % groups;
        int shared = plan.SharedBytes;
        // more than half of a multiprocessor's, of which the driver keeps 1 KB for itself of each group
        if (device.IsCuda && plan.RowsPerShare > 0 && slots == 1) shared = Math.Max(shared, (SharedLimit + 1024) / 2 - 1024 + 128);
        Load<TEpilogue>(plan, weight.Format)(stream, new KernelConfig(new Index3D(groups, slots, 1), new Index3D((plan.Warps + (plan.RowsPerShare > 0 ? RowRing.Beside<TEpilogue>() : 0)) * 32, 1, 1), SharedMemoryConfig.RequestDynamic<byte>(shared)), args, epilogue);
    }

    // The plan's kernel, compiled at first use.
    private Launcher<TEpilogue> Load<TEpilogue>(LinearPlan plan, WeightFormat format) where TEpilogue : struct, ILinearEpilogue
    {
        var key = (format, plan.Tiles, plan.RowsPerShare, plan.Depth, plan.Maps != 0, typeof(TEpilogue));
        if (!_kernels.TryGetValue(key, out var kernel))
        {
            var method = plan switch
            {
                { Steps: 0 } => LinearKernel.Variant(format, plan.Tiles, typeof(TEpilogue)),
                { RowsPerShare: 8 } => RowDigitKernel.Variant(format, plan.Depth, plan.Maps != 0, typeof(TEpilogue)),
                { RowsPerShare: 2 } => RowStreamKernel.Variant(format, plan.Depth, typeof(TEpilogue)),
                _ => LinearRowKernel.Variant(typeof(TEpilogue)),
            };
            _kernels[key] = kernel = device.Kernels.Load<Launcher<TEpilogue>>(method with { DynamicSharedBytes = SharedLimit });
        }
        return (Launcher<TEpilogue>)kernel;
    }

    private static int Chunks(WeightMatrix weight) => (int)((weight.ByteLength + 15) / 16);

    private static (ArrayView<ushort> View, int Format) Bias(WeightMatrix? bias, WeightMatrix weight)
    {
        if (bias is null) return (GpuBuffer.View<ushort>(weight.Data), 0);
        if (Array.IndexOf(WeightCodecs.Plain, bias.Format) < 0) throw new ArgumentException($"{bias.Name}: a bias is {bias.Format}; F32, F16 or BF16 is needed", nameof(bias));
        return (GpuBuffer.View<ushort>(bias.Data), 1 + (int)bias.Format);
    }
}
