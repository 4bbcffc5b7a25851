using System.CommandLine;
using System.Globalization;
using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse inspect</c>: what is in a model file, and what it would take to run.</summary>
internal static class InspectCommand
{
    private const KvFormat StandardKvFormat = KvFormat.F16;

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<int> s_context = ModelOptions.Context("Context in tokens to plan memory for; 0 for the model's own.");
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(StandardKvFormat);
    private static readonly Option<AttentionOptions> s_attention = ModelOptions.Attention();
    private static readonly Option<KvPlacement?> s_kv = ModelOptions.Kv();
    private static readonly Option<string> s_kvHot = ModelOptions.KvHot();
    private static readonly Option<bool> s_tensors = new("--tensors") { Description = "List every tensor." };
    private static readonly Option<bool> s_json = ModelOptions.Json();

    /// <summary>The command with its subcommand.</summary>
    public static Command Create()
    {
        var command = new Command("inspect", "Shows a model file: architecture, tensors, memory plan at a context. The subcommand 'logits' computes with it.")
        {
            s_model, s_context, s_kvType, s_attention, s_kv, s_kvHot, s_tensors, s_json,
            InspectLogitsCommand.Create(),
        };
        command.SetAction((arguments, _) => CommandGuard.Run(() => Run(arguments)));
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        using var model = ModelFile.Open(arguments.ModelPath(s_model));
        var c = model.Config;
        int context = arguments.GetValue(s_context) is > 0 and int given ? given : c.MaxContext;
        var options = new DecoderOptions { Capacity = context, KvFormat = arguments.GetValue(s_kvType) ?? StandardKvFormat, Attention = arguments.GetValue(s_attention)! };
        options = ModelOptions.Place(options, arguments.GetValue(s_kv) ?? KvPlacement.Device, arguments.GetValue(s_kvHot)!, c);
        var plan = MemoryPlan.For(model, options);
        long parameters = model.Tensors.Sum(t => t.Shape.Aggregate(1L, (a, b) => a * b));
        var formats = model.Tensors.GroupBy(t => t.Format).OrderByDescending(g => g.Sum(t => t.ByteLength)).ToDictionary(g => g.Key.ToString(), g => g.Sum(t => t.ByteLength));
        bool all = arguments.GetValue(s_tensors);
        if (arguments.GetValue(s_json))
        {
            JsonOutput.Write(new
            {
                model = model.Path,
                fingerprint = model.Fingerprint,
                config = c,
                parameters,
                bytesByFormat = formats,
                context,
                attention = options.Attention.ToString(),
                plan = new { weights = plan.Weights, keysAndValues = plan.KeysAndValues, labels = plan.Labels, scratch = plan.Scratch, total = plan.Total, hostKeysAndValues = plan.HostKeysAndValues },
                tensors = all ? model.Tensors.Select(t => new { name = t.Name, format = t.Format.ToString(), shape = t.Shape, bytes = t.ByteLength }) : null,
            });
            return 0;
        }
        // not in the table, whose width would cut it in two: it is there to be copied
        Console.Out.WriteLine(model.Path);
        var table = new Table().Border(TableBorder.Rounded).HideHeaders().AddColumns("", "");
        void Row(string name, string value) => table.AddRow(new Markup($"[grey]{name}[/]"), new Text(value));
        Row("fingerprint", model.Fingerprint);
        Row("model", $"{c.ModelType}, {parameters / 1e6:N1} M parameters, {model.Tensors.Count} tensors");
        Row("formats", string.Join(", ", formats.Select(f => $"{f.Key} {Bytes.Text(f.Value)}")));
        Row("layers", $"{c.Layers} × hidden {c.HiddenSize}, feed-forward {c.IntermediateSize}" + (c.Experts > 0 ? $", {c.ActiveExperts} of {c.Experts} experts" : ""));
        Row("attention", $"{c.Heads} heads, {c.KvHeads} kv heads × {c.HeadDim}" + (c.SlidingWindow > 0 ? $", sliding window {c.SlidingWindow:N0}" : ""));
        Row("rope", $"{c.RopeStyle}, theta {c.RopeTheta.ToString(CultureInfo.InvariantCulture)}, scaling {c.RopeScaling.Kind}");
        Row("vocabulary", $"{c.VocabularySize:N0}" + (c.TiedEmbeddings ? ", tied" : "") + (model.Tokenizer is { } t ? $", tokenizer {t.Kind}" : ", no tokenizer"));
        Row("context", $"{c.MaxContext:N0} tokens; planned below for {context:N0} with {options.Attention}");
        Row("weights", Bytes.Text(plan.Weights));
        Row("K and V", $"{Bytes.Text(plan.KeysAndValues)} as {options.KvFormat.ToString().ToLowerInvariant()}, {Bytes.Text(KvCache.BytesPerToken(c, options.KvFormat))} a token");
        if (plan.HostKeysAndValues > 0) Row("on the host", $"{Bytes.Text(plan.HostKeysAndValues)} of K and V; {options.HotTokens:N0} rows a layer and kv head stay hot on the device");
        Row("labels", Bytes.Text(plan.Labels));
        Row("scratch", Bytes.Text(plan.Scratch));
        Row("in all", Bytes.Text(plan.Total));
        AnsiConsole.Write(table);
        if (!all) return 0;
        var tensors = new Table().Border(TableBorder.Rounded).AddColumns("tensor", "format", "shape", "bytes");
        foreach (var tensor in model.Tensors)
            tensors.AddRow(new Text(tensor.Name), new Text(tensor.Format.ToString()), new Text(string.Join(" × ", tensor.Shape)), new Text(Bytes.Text(tensor.ByteLength)));
        AnsiConsole.Write(tensors);
        return 0;
    }
}
