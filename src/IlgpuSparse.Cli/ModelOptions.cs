using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary>The options that several commands share.</summary>
internal static class ModelOptions
{
    /// <summary>Most tokens of a context, an option's upper limit: more than any model was made for.</summary>
    public const int MostTokens = 1 << 28;

    /// <summary>Which model.</summary>
    public static Option<string?> Model() => new("--model", "-m")
    {
        Description = "A .gguf file, or a Hugging Face directory (config.json, safetensors, tokenizer). Default: the model that travels with this tool.",
        HelpName = "path",
    };

    /// <summary>The path that <paramref name="option"/> was given, else the embedded model's.</summary>
    public static string ModelPath(this ParseResult arguments, Option<string?> option) => arguments.GetValue(option) ?? EmbeddedModel.ModelPath;

    /// <summary>The tokenizer that the model carries; <paramref name="purpose"/> ends the message where there is none.</summary>
    /// <exception cref="ModelFormatException">It carries none.</exception>
    public static TextTokenizer Tokenizer(ModelFile model, string path, string purpose = "text cannot be read") =>
        TextTokenizer.Create(model.Tokenizer ?? throw new ModelFormatException(path, "carries no tokenizer, so " + purpose));

    /// <summary>Which channel map.</summary>
    public static Option<string?> Channels() => new("--channels")
    {
        Description = "Channel map. Default: the file beside the model whose name ends in .channels.json; without one, every text's own (map=online). none: neither.",
        HelpName = "path|none",
    };

    /// <summary>
    /// The channel map that <paramref name="given"/> names, or the one beside the model, and its path; none where no attention needs it. Without one <paramref name="attentions"/> that need it make their own from each text, and
    /// <c>Reason</c> says so.
    /// </summary>
    /// <exception cref="ArgumentException">One is needed and there is none.</exception>
    /// <exception cref="ModelFormatException">Damaged, or of another model.</exception>
    public static (IReadOnlyList<AttentionOptions> Attentions, ChannelMap? Map, string? Path, string? Reason) Calibrated(ModelFile model, string? given, IReadOnlyList<AttentionOptions> attentions)
    {
        // maps that attentions name themselves are only checked here
        foreach (string named in attentions.SelectMany(a => (string?[])[a.MapPath, a.PriorPath]).OfType<string>().Distinct()) ChannelMapFile.Load(named, model);
        if (!attentions.Any(a => a.NeedsChannels)) return (attentions, null, null, null);
        if (FindChannels(model, given) is { } path) return (attentions, ChannelMapFile.Load(path, model), path, null);
        if (given is null)
        {
            attentions = [.. attentions.Select(a => a.WithOwnMaps())];
            if (!attentions.Any(a => a.NeedsChannels)) return (attentions, null, null, ChannelMapFile.WithoutMap(model.Path));
        }
        throw new ArgumentException($"no channel map for {attentions.First(a => a.NeedsChannels)}: make one with 'ilgpusparse calibrate --model {model.Path}' (it is written to {ChannelMapFile.PathFor(model.Path)}), or use double-sparsity:map=online or dense");
    }

    /// <summary>The path of the channel map that <paramref name="given"/> names, or of the one beside the model; null where there is none, or none is wanted.</summary>
    public static string? FindChannels(ModelFile model, string? given) => given == NoChannels ? null : given ?? ChannelMapFile.Find(model.Path);

    /// <summary>What <c>--channels</c> takes for no map at all.</summary>
    public const string NoChannels = "none";

    /// <summary>Which model's sizes a benchmark takes.</summary>
    public static Option<string> Shape(string standard) => new("--shape")
    {
        Description = "The model whose sizes are taken: " + string.Join(", ", ModelShapes.Names) + ".",
        DefaultValueFactory = _ => standard,
        HelpName = "name",
    };

    /// <summary>Which chat template.</summary>
    public static Option<string?> Template() => new("--chat-template")
    {
        Description = $"How conversations are written down: {string.Join(", ", ChatTemplate.Names)}, or a file with a template in Jinja. Default: the one that the model carries, plain where it carries none.",
        HelpName = "name|path",
    };

    /// <summary>Machine-readable output.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of text, tables and progress." };

    /// <summary>Which backend computes.</summary>
    public static Option<string> Backend() => new Option<string>("--backend")
    {
        Description = "auto takes a CUDA device, then an OpenCL GPU, then the cpu; or name one: " + string.Join(", ", ComputeBackends.Names) + " (cuda:1 for the second).",
        DefaultValueFactory = _ => "auto",
        HelpName = "name",
    };

    /// <summary>Threads of the cpu backend.</summary>
    public static Option<int> Threads() => NumberOption.Create("--threads", "Threads of the cpu backend; 0 for one a core.", 0, 1024, 0);

    /// <summary>Gradient descent of rotated labels.</summary>
    public static Option<int> Steps() => NumberOption.Create("--steps", "Steps of gradient descent that move each head's directions to where few bits tell most of the attention; 0 leaves them at the closed form.", 0, 1 << 20, 1200);

    /// <summary>Tokens of a cache.</summary>
    public static Option<int> Context(string description) => NumberOption.Create("--context", description, 0, MostTokens, 0);

    /// <summary>Precision of products of many rows.</summary>
    public static Option<ProductPrecision?> Precision(ProductPrecision standard) =>
        NameOption.Create("--precision", "What tensor cores make of the activations of prompts, and, with 16-bit weights, of steps of nine sequences and more: half rounds them to 16 bits, single is as accurate as fp32 at half the speed or less.", standard);

    /// <summary>Element type of K and V.</summary>
    public static Option<KvFormat?> KvType(KvFormat standard) =>
        NameOption.Create("--kv-type", "Element type of the stored K and V; int8 has a scale a token and kv head.", standard);

    /// <summary>Where K and V lie.</summary>
    public static Option<KvPlacement?> Kv() =>
        NameOption.Create("--kv", "Where K and V lie: host keeps them in pinned host memory, and the rows that a step selects cross the bus (CUDA).", KvPlacement.Device);

    /// <summary>Rows that stay on the device.</summary>
    public static Option<string> KvHot() => new("--kv-hot")
    {
        Description = "With --kv host: rows read lately that stay on the device, a layer and kv head: a number, a share of the context (1/64), or auto for what keeps K, V and labels on the device within a twelfth of K and V.",
        DefaultValueFactory = _ => "auto",
        HelpName = "n|1/n|auto",
    };

    /// <summary>Whether rows are brought ahead.</summary>
    public static Option<KvPrediction?> KvPredict() =>
        NameOption.Create("--kv-predict", "With --kv host: bring rows a layer ahead for a predicted query. late fetches what was missed (results stay the same), trust attends to what was predicted.", KvPrediction.Off);

    /// <summary>Which missed rows are fetched.</summary>
    public static Option<float> KvLate() => new("--kv-late")
    {
        Description = "With --kv-predict late: fetch a missed row if its estimated attention is at least this much of the average of its list; 0 fetches all. What is not fetched is left out, with mean-value=on by its mass.",
        DefaultValueFactory = _ => 0,
        HelpName = "x",
    };

    /// <summary>Which layers are predicted.</summary>
    public static Option<float> KvRecall() => new("--kv-recall")
    {
        Description = "With --kv-predict: layers whose sets calibration could predict less of than this share are not predicted, nor, by trust, labels and smaller sets that it did not judge; 0 for all.",
        DefaultValueFactory = _ => 0.65f,
        HelpName = "share",
    };

    /// <summary><paramref name="options"/> with K and V where <paramref name="placement"/> says, and as many hot rows as <paramref name="hot"/> says.</summary>
    /// <exception cref="ArgumentException"><paramref name="hot"/> is neither a number, nor a share, nor auto.</exception>
    public static DecoderOptions Place(DecoderOptions options, KvPlacement placement, string hot, LlamaConfig config)
    {
        options = options with { KvPlacement = placement };
        string[] parts = hot.Split('/');
        int share = 1;
        bool known = hot == "auto" || (parts.Length is 1 or 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out share) && share <= MostTokens);
        int whole = 1;
        if (known && parts.Length == 2) known = int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out whole) && whole >= share && share > 0;
        if (!known) throw new ArgumentException($"--kv-hot {hot}: expected a number of tokens up to {MostTokens:N0}, a share of the context such as 1/64, or auto");
        if (placement == KvPlacement.Device) return options;
        if (hot == "auto") return options with { HotTokens = options.Attention.Kind == AttentionKind.Dense ? 0 : HostKvCache.HotTokensWithin(1.0 / 12, config, options) };
        return options with { HotTokens = Math.Min(options.Capacity, parts.Length == 1 ? share : (int)((long)options.Capacity * share / whole)) };
    }

    /// <summary>Attention of decode steps: Double Sparsity where nothing else is said.</summary>
    public static Option<AttentionOptions> Attention()
    {
        var option = AttentionOrNone();
        option.DefaultValueFactory = _ => AttentionOptions.DoubleSparsity;
        return option;
    }

    /// <summary>Attention of decode steps; null where nothing is said.</summary>
    public static Option<AttentionOptions> AttentionOrNone()
    {
        var option = new Option<AttentionOptions>("--attention", "-a")
        {
            Description = """
                How decode steps attend (prefill is dense): dense, or double-sparsity with any of these settings:
                  tokens=1/16        budget: a fraction of the context, or a number of tokens
                  top-p=1            share of the estimated attention that is enough: then tokens is the most that are read
                  min-tokens=0       fewest tokens that are read
                  temperature=1      factor of the scores before their attention is estimated, for top-p and mean-value
                  budgets=uniform    head: kv heads have more or fewer tokens, by what calibration saw them win, of the same mean
                  mean-value=off     on: what is not read stands in by the mean of V, by its estimated share
                  label=channels     what the bits of a label are of: channels (as many bits each), mixed (channels, as many bits as each is worth)
                                     or rotated (directions that calibration found; keeps most)
                  label-bits=128     bits of a mixed or rotated label together, 8 to 128
                  channels=64        channels a label        bits=2   bits a channel (1, 2, 4, 8, 16)
                  scaling=static     static (calibrated, nothing stored a token) or token (the paper: min/max of each token)
                  sets=group         one token set a kv head (group) or a query head (head, the paper)
                  reduce=max         how a group's scores become one: max or sum
                  sinks=0 window=1   first and last tokens that are always read
                  dense-layers=0     first layers that stay dense
                  dense-below=0      contexts up to this many tokens stay dense
                  order=calibrated   random: channels drawn at random, a control
                  map=PATH           a channel map of its own, or online: every text's, made from its prompt
                  prior=PATH         with map=online: a channel map whose channels count in every text
                  drift=0.13         with map=online: how far a text may drift before its map is made anew; off for any
                Or a method to compare with, with settings of its own:
                  oracle             the true top-k (or top-p) of every query head; settings as above but those of labels
                  double-sparsity-published   as its authors' code has it: tokens, channels=32, bits=4, map, dense-layers
                  streaming          StreamingLLM: tokens, sinks=4, the rest is the window; positions=text (masked) or cache
                  quest              pages by the bounds of their keys: tokens, page=16, dense-layers
                  sparq              largest channels of the query, mean value: tokens, r=8, mean-value=on, dense-layers
                  h2o                half by the attention paid so far, half the last: tokens, sets=group, dense-layers
                  loki               principal components of the keys: tokens, r=32, components=PATH, dense-layers
                Example: double-sparsity:tokens=1/32,channels=32,bits=4,sinks=4,window=64
                """,
            HelpName = "method[:settings]",
            CustomParser = ParseAttention,
        };
        return option;
    }

    /// <summary>The attention that the command line names; null after an error was said.</summary>
    public static AttentionOptions? ParseAttention(ArgumentResult result)
    {
        try
        {
            return AttentionOptions.Parse(result.Tokens.Count > 0 ? result.Tokens[0].Value : "");
        }
        catch (FormatException e)
        {
            result.AddError("--attention: " + e.Message);
            return null;
        }
    }
}
