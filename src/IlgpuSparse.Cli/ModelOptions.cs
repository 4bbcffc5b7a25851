using System.CommandLine;
using IlgpuSparse.Attention;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Gpu;

namespace IlgpuSparse.Cli;

/// <summary>The options that several commands share.</summary>
internal static class ModelOptions
{
    /// <summary>Which model.</summary>
    public static Option<string> Model() => new("--model", "-m")
    {
        Description = "A .gguf file, or a Hugging Face directory (config.json, safetensors, tokenizer). Default: the model that travels with this tool.",
        DefaultValueFactory = _ => EmbeddedModel.ModelPath,
        HelpName = "path",
    };

    /// <summary>Machine-readable output.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON document instead of tables and progress." };

    /// <summary>Which backend computes.</summary>
    public static Option<string> Backend() => new Option<string>("--backend")
    {
        Description = "auto takes a CUDA device, then an OpenCL GPU, then the cpu; or name one: " + string.Join(", ", ComputeBackends.Names) + " (cuda:1 for the second).",
        DefaultValueFactory = _ => "auto",
        HelpName = "name",
    };

    /// <summary>Threads of the cpu backend.</summary>
    public static Option<int> Threads() => new("--threads") { Description = "Threads of the cpu backend; 0 for one a core.", HelpName = "n" };

    /// <summary>Precision of products of many rows.</summary>
    public static Option<ProductPrecision> Precision(ProductPrecision standard) => new("--precision")
    {
        Description = $"What tensor cores make of the prompt's activations: half rounds them to 16 bits, single is as accurate as fp32 at half the speed or less. Default: {standard.ToString().ToLowerInvariant()}.",
        DefaultValueFactory = _ => standard,
        HelpName = "half|single",
    };

    /// <summary>Element type of K and V.</summary>
    public static Option<KvFormat> KvType(KvFormat standard)
    {
        var option = new Option<KvFormat>("--kv-type")
        {
            Description = $"Element type of the stored K and V: f32, f16, bf16, or int8 with a scale a token. Default: {standard.ToString().ToLowerInvariant()}.",
            HelpName = "f32|f16|bf16|int8",
            DefaultValueFactory = _ => standard,
        };
        return option;
    }

    /// <summary>Attention of decode steps.</summary>
    public static Option<AttentionOptions> Attention()
    {
        var option = new Option<AttentionOptions>("--attention", "-a")
        {
            Description = """
                How decode steps attend (prefill is dense): dense, or double-sparsity with any of these settings:
                  tokens=1/16        budget: a fraction of the context, or a number of tokens
                  channels=64        channels a label        bits=2   bits a channel (1, 2, 4, 8, 16)
                  scaling=static     static (calibrated, nothing stored a token) or token (the paper: min/max of each token)
                  sets=group         one token set a kv head (group) or a query head (head, the paper)
                  reduce=max         how a group's scores become one: max or sum
                  sinks=0 window=1   first and last tokens that are always read
                  dense-layers=0     first layers that stay dense
                  dense-below=0      contexts up to this many tokens stay dense
                Example: double-sparsity:tokens=1/32,channels=32,bits=4,sinks=4,window=64
                """,
            HelpName = "method[:settings]",
            DefaultValueFactory = _ => AttentionOptions.DoubleSparsity,
            CustomParser = result =>
            {
                try
                {
                    return AttentionOptions.Parse(result.Tokens[0].Value);
                }
                catch (FormatException e)
                {
                    result.AddError("--attention: " + e.Message);
                    return null;
                }
            },
        };
        return option;
    }
}
