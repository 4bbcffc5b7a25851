using System.CommandLine;
using System.CommandLine.Parsing;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
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
    public static Option<string?> Channels() => new("--channels") { Description = "Channel map. Default: the file beside the model whose name ends in .channels.json.", HelpName = "path" };

    /// <summary>The channel map that <paramref name="given"/> names, or the one beside the model, and its path; none where no attention needs it.</summary>
    /// <exception cref="ArgumentException">One is needed and there is none.</exception>
    /// <exception cref="ModelFormatException">Damaged, or of another model.</exception>
    public static (ChannelMap? Map, string? Path) LoadChannels(ModelFile model, string? given, IEnumerable<AttentionOptions> attentions)
    {
        if (!attentions.Any(a => a.NeedsChannels)) return (null, null);
        string path = given ?? EmbeddedModel.ChannelMapFor(model.Path)
            ?? throw new ArgumentException($"no channel map for this model: make one with 'ilgpusparse calibrate --model {model.Path}' (it is written to {EmbeddedModel.DefaultChannelMapPath(model.Path)}), or use --attention dense");
        return (ChannelMapReader.Read(path, model), path);
    }

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

    /// <summary>Tokens of a cache.</summary>
    public static Option<int> Context(string description) => NumberOption.Create("--context", description, 0, MostTokens, 0);

    /// <summary>Precision of products of many rows.</summary>
    public static Option<ProductPrecision?> Precision(ProductPrecision standard) =>
        NameOption.Create("--precision", "What tensor cores make of a prompt's activations: half rounds them to 16 bits, single is as accurate as fp32 at half the speed or less.", standard);

    /// <summary>Element type of K and V.</summary>
    public static Option<KvFormat?> KvType(KvFormat standard) =>
        NameOption.Create("--kv-type", "Element type of the stored K and V; int8 has a scale a token and kv head.", standard);

    /// <summary>
    /// Refuses a plan that this machine's memory cannot hold. The operating system would hand it out and end the process when it is filled; a GPU's allocator says so itself.
    /// </summary>
    /// <exception cref="InsufficientMemoryException">It cannot; the message has both numbers and the knobs.</exception>
    public static void CheckMemory(ComputeBackend backend, MemoryPlan plan, long context)
    {
        long needed = plan.Total - plan.Weights, there = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (backend is CpuBackend && needed > there)
        {
            throw new InsufficientMemoryException(
                $"a context of {context:N0} tokens needs {Bytes.Text(needed)} (K and V {Bytes.Text(plan.KeysAndValues)}), this machine has {Bytes.Text(there)}: ask for a shorter one (--context) or a smaller format (--kv-type)");
        }
    }

    /// <summary>Attention of decode steps.</summary>
    public static Option<AttentionOptions> Attention()
    {
        var option = new Option<AttentionOptions>("--attention", "-a")
        {
            Description = """
                How decode steps attend (prefill is dense): dense, or double-sparsity with any of these settings:
                  tokens=1/16        budget: a fraction of the context, or a number of tokens
                  top-p=1            share of the estimated attention that is enough: then tokens is the most that are read
                  min-tokens=0       fewest tokens that are read
                  temperature=1      factor of the scores before their attention is estimated, for top-p and mean-value
                  budgets=uniform    layer: layers have more or fewer tokens, as calibration found them, of the same mean
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
                Or a method to compare with, with settings of its own:
                  oracle             the true top-k (or top-p) of every query head; settings as above but those of labels
                  streaming          StreamingLLM, masked: tokens, sinks=4; the rest of the budget is the window
                  quest              pages by the bounds of their keys: tokens, page=16, dense-layers
                  sparq              largest channels of the query, mean value: tokens, r=8, mean-value=on, dense-layers
                Example: double-sparsity:tokens=1/32,channels=32,bits=4,sinks=4,window=64
                """,
            HelpName = "method[:settings]",
            DefaultValueFactory = _ => AttentionOptions.DoubleSparsity,
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
