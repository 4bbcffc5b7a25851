using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary>The attention of <c>--attention auto</c>: full attention while it is faster, then what keeps most for the channel map that a model has. It says why.</summary>
internal static class AutoAttention
{
    /// <summary>What stands for it on the command line.</summary>
    public const string Name = "auto";

    // From here on a whole sparse step took less time than a dense one, or as much (docs/numbers: bench decode on an H100, bench attention on 2 cores); other GPUs were not measured.
    private const int Crossover = 4096;

    // What lost least of the labels that a text can make by itself (docs/numbers/evaluation.md).
    private const string Online = "map=online,label=mixed,label-bits=128";

    // What `calibrate` reads at a time by default. Directions mix channels that rotary positions turn at different speeds, and lose far beyond the positions that they were found at (docs/numbers/labels.md); channels do not.
    private const int CalibratedContext = 8192;

    /// <summary>The option of <c>generate</c>: as <see cref="ModelOptions.Attention"/>, and null for <see cref="Name"/>.</summary>
    public static Option<AttentionOptions?> Option()
    {
        var named = ModelOptions.Attention();
        return new Option<AttentionOptions?>(named.Name, [.. named.Aliases])
        {
            Description = named.Description!.Replace("How decode steps attend (prefill is dense): dense, or", "How decode steps attend (prefill is dense): auto (dense below a measured length, then the best that the channel map allows), dense, or", StringComparison.Ordinal),
            HelpName = named.HelpName,
            DefaultValueFactory = _ => null,
            CustomParser = result => result.Tokens.Count == 0 || result.Tokens[0].Value == Name ? null : ModelOptions.ParseAttention(result),
        };
    }

    /// <summary>Chooses for contexts of up to <paramref name="context"/> tokens of <paramref name="model"/>; <paramref name="given"/> names its channel map, <paramref name="online"/> tells whether a text may make its own where there is none.</summary>
    /// <exception cref="ModelFormatException">The map is damaged, or of another model.</exception>
    public static (AttentionOptions Attention, ChannelMap? Map, string Reason) Choose(ModelFile model, string? given, long context, bool online)
    {
        if (context <= Crossover) return (AttentionOptions.Dense, null, $"auto: {context:N0} tokens at most, full attention is the faster one up to {Crossover:N0}");
        if (ModelOptions.FindChannels(model, given) is null)
        {
            string sparse = $"'ilgpusparse calibrate --model {model.Path}' makes one, for sparse attention from {Crossover:N0} tokens on";
            return given is null && online
                ? (AttentionOptions.Parse($"double-sparsity:{Online},mean-value=on,dense-below={Crossover}"), null, $"auto: sparse from {Crossover:N0} tokens on; {ChannelMapFile.WithoutMap(model.Path)}")
                : (AttentionOptions.Dense, null, given is null ? $"auto: there is no channel map beside the model; {sparse}" : $"auto: no channel map is wanted; {sparse}");
        }
        var best = AttentionOptions.DoubleSparsity with { DenseBelow = Crossover, MeanValue = true };
        var (_, map, path, _) = ModelOptions.Calibrated(model, given, [best]);
        string file = Path.GetFileName(path!);
        if (map!.HasBases && context > CalibratedContext)
            return (AttentionOptions.Parse($"double-sparsity:label=mixed,label-bits=128,mean-value=on,dense-below={Crossover}"), map, $"auto: sparse from {Crossover:N0} tokens on, labels of 128 bits of channels, which hold at more than the {CalibratedContext:N0} tokens that directions are found on");
        if (map.HasBases)
            return (AttentionOptions.Parse($"double-sparsity:label=rotated,label-bits=64,mean-value=on,dense-below={Crossover}"), map, $"auto: sparse from {Crossover:N0} tokens on, labels of 64 bits along the directions in {file}");
        return map.HasScales
            ? (best, map, $"auto: sparse from {Crossover:N0} tokens on, labels of channels; {file} has no directions, 'ilgpusparse calibrate' finds them")
            : (best with { LabelFormat = Compute.LabelFormat.Int4, Channels = Math.Min(32, model.Config.HeadDim), Scaling = Compute.LabelScaling.PerToken }, map, $"auto: sparse from {Crossover:N0} tokens on, labels with scales a token; {file} has no scales, 'ilgpusparse calibrate' finds them");
    }
}
