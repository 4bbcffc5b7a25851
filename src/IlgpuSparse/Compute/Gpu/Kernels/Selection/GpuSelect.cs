using ILGPU;
using ILGPU.Runtime;
using IlgpuSparse.Compute.Gpu.Kernels.Attention;

namespace IlgpuSparse.Compute.Gpu.Kernels.Selection;

/// <summary>Selection on a GPU, exact top-k or by mass, alone or together with the scores.</summary>
/// <remarks>Scratch memory belongs to a <see cref="TokenScores"/> and is allocated at its first selection, for all its rows, and disposed with it: run a step once before capturing it in a graph.</remarks>
internal sealed class GpuSelect(GpuDevice device, GpuScore score, MemoryLedger memory)
{
    private delegate void Launcher(AcceleratorStream stream, KernelConfig config, SelectView select);

    private delegate void PlaceLauncher(AcceleratorStream stream, KernelConfig config, SelectView select, int tokens);

    /// <summary>Scores and sets in one kernel whose groups run at once.</summary>
    public GpuResidentScore Resident { get; } = new(device);

    /// <summary>
    /// Longest context, in tokens, whose sets are selected by one group each, behind the scores or by mass; at most <see cref="SetFilterKernel.LongestChunk"/> of such a group, or by mass <see cref="KeyTile"/>'s tokens.
    /// </summary>
    public int OneGroupTokens { get; set; } = SetFilterKernel.LongestChunk(SetFilterKernel.GroupSize);

    /// <summary>Sets by scores in memory, as <see cref="ComputeBackend.Select"/>.</summary>
    public void Run(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        var view = View(shape, rule, batch, scores, sets);
        bool mass = ByMass(rule, sets);
        if (!device.IsCuda)
        {
            int group = device.Kind == GpuKind.CpuAccelerator ? 16 : SelectPortableKernel.GroupSize;
            device.Kernels.Load<Launcher>(mass ? MassPortableKernel.Variant : SelectPortableKernel.Variant)(stream,
                new KernelConfig(new Index3D(scores.Sets, batch.Rows, 1), new Index3D(group, 1, 1)), view);
        }
        else if (mass && OneGroup(shape, batch, mass))
        {
            device.Kernels.Load<Launcher>(MassSetKernel.Variant)(stream, new KernelConfig(new Index3D(scores.Sets, batch.Rows, 1), new Index3D(MassSetKernel.GroupSize, 1, 1)), view);
        }
        else
        {
            view.Scratch = Memory(scores).View(mass);
            device.Kernels.Load<Launcher>(mass ? HistogramKernel.Variant : BinKernel.Variant)(stream, new KernelConfig(Chunks(shape, batch, scores.Sets), new Index3D(BinKernel.GroupSize, 1, 1)), view);
            Finish(shape, batch, scores.Sets, view, mass, stream);
        }
    }

    /// <summary>
    /// Scores and sets by <paramref name="choice"/> in as few kernels as there can be: one for short contexts, two for long ones, and four by mass. The result is that of <see cref="GpuScore.Run"/> and <see cref="Run"/>. Labels that the
    /// choice lacks, and rows of <paramref name="own"/>, are written meanwhile, where this <see cref="Appends"/>. <paramref name="alone"/> says that no kernels of other streams keep multiprocessors for themselves.
    /// </summary>
    public void ScoreAndSelect(LabelChoice choice, OwnRowView own, StepBatch batch, bool alone, AcceleratorStream stream)
    {
        if (batch.Rows == 0) return;
        var (shape, labels, q, reduction, rule, scores, sets) = choice;
        var scoreView = GpuScore.View(shape, labels, batch, q, reduction, scores);
        if (!GpuScore.TakesTensorCores(device, labels, scoreView))
        {
            score.Run(shape, labels, batch, q, reduction, scores, stream);
            Run(shape, rule, batch, scores, sets, stream);
            return;
        }
        var view = View(shape, rule, batch, scores, sets);
        bool mass = ByMass(rule, sets), oneGroup = OneGroup(shape, batch, mass);
        view.Scratch = Memory(scores).View(mass);
        if (alone && Resident.TryRun(choice, scoreView, view, own, batch, stream)) return;
        if (Mode(choice, batch) is not { } mode)
        {
            score.Run(shape, labels, batch, q, reduction, scores, stream);
            Run(shape, rule, batch, scores, sets, stream);
            return;
        }
        score.Launch(GpuLabels.View(shape, labels, batch), scoreView, view, labels.Format, batch, scores.Sets, mode, GpuLabels.Keys(choice, batch), own, stream);
        if (!oneGroup) Finish(shape, batch, scores.Sets, view, mass, stream);
    }

    /// <summary>Whether <see cref="ScoreAndSelect"/> writes labels, K and V of the rows' own tokens.</summary>
    public bool Appends(LabelChoice choice, StepBatch batch) =>
        batch.Rows > 0 && GpuScore.TakesTensorCores(device, choice.Labels, GpuScore.View(choice.Shape, choice.Labels, batch, choice.Queries, choice.Reduction, choice.Scores)) && Mode(choice, batch) is { } mode && ScoreKernel.Appends(mode);

    // The score kernel's mode; null where there is none with all of the selection behind the scores.
    private int? Mode(LabelChoice choice, StepBatch batch)
    {
        bool mass = ByMass(choice.Rule, choice.Sets), oneGroup = OneGroup(choice.Shape, batch, mass);
        if (oneGroup && !ScoreKernel.HasSelection(choice.Labels.Format, ScoreKernel.LaneWords(choice.Labels.Format, choice.Labels.Channels))) return null;
        return mass ? oneGroup ? ScoreKernel.WithMassSelection : ScoreKernel.WithMaximum : oneGroup ? ScoreKernel.WithSelection : ScoreKernel.WithBins;
    }

    private void Finish(AttentionShape shape, StepBatch batch, int sets, SelectView view, bool mass, AcceleratorStream stream)
    {
        var grid = Chunks(shape, batch, sets);
        if (!mass)
        {
            // one chunk where it is enough: no group has to hear of another; else as short as they can be while all groups run at once, of which there are two a multiprocessor
            int span = Span(shape, batch), longest = SetFilterKernel.LongestChunk(SetFilterKernel.GroupSize);
            int chunk = span <= longest ? SetFilter.WholeChunk(span, SetFilterKernel.GroupSize) : SetFilterKernel.ShortestChunk(SetFilterKernel.GroupSize);
            while (span > longest && chunk < longest && (long)LaunchShapes.Groups(span, chunk) * sets * batch.Rows > 2L * device.Multiprocessors) chunk *= 2;
            device.Kernels.Load<PlaceLauncher>(SetFilterKernel.Variant)(stream, new KernelConfig(new Index3D(LaunchShapes.Groups(span, chunk), sets, batch.Rows), new Index3D(SetFilterKernel.GroupSize, 1, 1)), view, chunk);
            return;
        }
        device.Kernels.Load<Launcher>(MassFilterKernel.Variant)(stream, new KernelConfig(grid, new Index3D(MassFilterKernel.GroupSize, 1, 1)), view);
        int tokens = KeyTile.Tokens(MassFilterKernel.GroupSize);
        device.Kernels.Load<PlaceLauncher>(MassCandidateKernel.Variant)(stream, new KernelConfig(grid, new Index3D(MassCandidateKernel.GroupSize, 1, 1)), view, tokens);
        device.Kernels.Load<PlaceLauncher>(PlaceKernel.Variant)(stream, new KernelConfig(grid, new Index3D(PlaceKernel.GroupSize, 1, 1)), view, tokens);
    }

    // The sum of the weights is needed for the share alone too.
    private static bool ByMass(SelectionRule rule, TokenSets sets) => rule.Share != 0 || sets.Shares is not null;

    // The range that a window leaves begins at a tile, so it may reach over 15 tokens more than are visible.
    private static int Span(AttentionShape shape, StepBatch batch) =>
        shape.Window > 0 ? Math.Min(batch.GridLength, shape.Window + LabelLayer.TileTokens - 1) : batch.GridLength;

    private bool OneGroup(AttentionShape shape, StepBatch batch, bool mass) =>
        Span(shape, batch) <= Math.Min(OneGroupTokens, mass ? KeyTile.Tokens(SetFilterKernel.GroupSize) : SetFilterKernel.LongestChunk(SetFilterKernel.GroupSize));

    private static Index3D Chunks(AttentionShape shape, StepBatch batch, int sets) =>
        new(LaunchShapes.Groups(Span(shape, batch), KeyTile.Tokens(MassFilterKernel.GroupSize)), sets, batch.Rows);

    /// <summary>Scratch memory of <paramref name="scores"/>, disposed together with their buffer.</summary>
    public SelectMemory Memory(TokenScores scores)
    {
        var buffer = (GpuBuffer)scores.Buffer;
        buffer.Companion ??= new SelectMemory(device, memory, scores, KeyTile.Tokens(MassFilterKernel.GroupSize));
        return (SelectMemory)buffer.Companion;
    }

    /// <summary>The kernels' argument, without scratch memory.</summary>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static SelectView View(AttentionShape shape, SelectionRule rule, StepBatch batch, TokenScores scores, TokenSets sets)
    {
        if (sets.Sets != scores.Sets) throw new ArgumentException($"{sets.Sets} sets a row, but scores of {scores.Sets}", nameof(sets));
        if (batch.MaxLength > scores.Capacity) throw new ArgumentException($"{batch.MaxLength} tokens, but room for {scores.Capacity} scores a set", nameof(scores));
        if (scores.Capacity % LabelLayer.TileTokens != 0) throw new ArgumentException($"room for {scores.Capacity} scores a set is not a multiple of {LabelLayer.TileTokens}", nameof(scores));
        int visible = shape.Window > 0 ? Math.Min(batch.MaxLength, shape.Window) : batch.MaxLength;
        // budgets of sets lie on the device, where no set outgrows its room
        if (sets.Factors is null && rule.Budget(visible) > sets.Capacity) throw new ArgumentException($"{rule.Budget(visible)} of {visible} tokens are to be selected, but a set has room for {sets.Capacity}", nameof(sets));
        long total = (long)batch.Rows * scores.Sets;
        return new SelectView
        {
            Positions = GpuBuffer.View<int>(batch.Positions, batch.Rows),
            Scores = GpuBuffer.View<float>(scores.Buffer, total * scores.Capacity),
            Indices = GpuBuffer.View<int>(sets.Indices, total * sets.Capacity),
            Counts = GpuBuffer.View<int>(sets.Counts, total),
            ScoreCapacity = scores.Capacity,
            SetCapacity = sets.Capacity,
            Window = shape.Window,
            Numerator = rule.Numerator,
            Denominator = sets.Factors is null ? rule.Denominator : checked(rule.Denominator * SelectionRule.FactorUnits),
            MinTokens = sets.Factors is null ? Math.Max(rule.MinTokens, rule.Floor) : rule.MinTokens,
            Factors = sets.Factors is null ? GpuBuffer.View<int>(sets.Counts).SubView(0, 0) : GpuBuffer.View<int>(sets.Factors, total),
            Floor = rule.Floor,
            Share = rule.Share,
            MassScale = TokenMass.Scale(rule.Temperature),
            Shares = sets.Shares is null ? GpuBuffer.View<float>(sets.Counts).SubView(0, 0) : GpuBuffer.View<float>(sets.Shares, total),
            Sinks = rule.Sinks,
            Recent = rule.Recent,
        };
    }
}
