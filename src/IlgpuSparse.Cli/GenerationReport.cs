using IlgpuSparse.Attention;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary>What <c>generate</c> says beside the text: its set-up before, its numbers behind.</summary>
/// <param name="model">The model.</param>
/// <param name="backend">What computes.</param>
/// <param name="options">How the decoder was built.</param>
/// <param name="plan">Its memory.</param>
/// <param name="reason">Why this attention was chosen; null where it was asked for.</param>
internal sealed class GenerationReport(ModelFile model, ComputeBackend backend, DecoderOptions options, MemoryPlan plan, string? reason)
{
    /// <summary>What is going to be computed, before it is.</summary>
    public void WriteHead(int promptTokens, string origin)
    {
        var c = model.Config;
        var grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        void Row(string name, string value) => grid.AddRow(new Markup($"[grey]{name}[/]"), new Text(value));
        Row("model", $"{Path.GetFileName(model.Path.TrimEnd('/'))}: {c.ModelType}, {c.Layers} layers, {c.Heads} heads, {c.KvHeads} kv heads × {c.HeadDim}, vocabulary {c.VocabularySize:N0}");
        Row("device", $"{backend.Name}: {backend.Description}");
        Row("attention", $"{options.Attention}; K and V in {options.KvFormat.ToString().ToLowerInvariant()}");
        if (reason is not null) Row("", reason);
        Row("prompt", $"{promptTokens:N0} tokens from {origin}");
        Row("memory", $"{Bytes.Text(plan.Total)}: weights {Bytes.Text(plan.Weights)}, K and V {Bytes.Text(plan.KeysAndValues)}, labels {Bytes.Text(plan.Labels)}, scratch {Bytes.Text(plan.Scratch)}");
        if (plan.HostKeysAndValues > 0) Row("on the host", $"K and V {Bytes.Text(plan.HostKeysAndValues)}; {options.HotTokens:N0} rows a layer and kv head stay hot");
        AnsiConsole.Write(grid);
        AnsiConsole.WriteLine();
    }

    /// <summary>Text and numbers for programs.</summary>
    public void WriteJson(GenerationStatistics s, string continuation, bool cancelled) =>
        JsonOutput.Write(new
        {
            model = model.Path,
            backend = backend.Name,
            attention = options.Attention.ToString(),
            attentionReason = reason,
            text = continuation,
            cancelled,
            promptTokens = s.PromptTokens,
            newTokens = s.NewTokens,
            prefillSeconds = s.PrefillSeconds,
            prefillTokensPerSecond = s.PrefillTokensPerSecond,
            decodeSeconds = s.DecodeSeconds,
            decodeTokensPerSecond = s.DecodeTokensPerSecond,
            preparationSeconds = s.PreparationSeconds,
            calibratedMaps = s.CalibratedMaps,
            calibrationSeconds = s.CalibrationSeconds,
            processorCores = s.ProcessorCores,
            kernelsPerStep = s.KernelsPerStep,
            weightBytes = plan.Weights,
            kvBytes = plan.KeysAndValues,
            labelBytes = plan.Labels,
            planBytes = plan.Total,
            hostKvBytes = plan.HostKeysAndValues,
            hotTokens = options.HotTokens,
            busBytesPerStep = s.Offload?.BusBytesPerStep,
            hotHitRate = s.Offload?.HitRate,
            predictionRate = s.Offload?.PredictionRate,
            dropRate = s.Offload?.DropRate,
            density = s.Density,
            weightBytesPerToken = s.WeightBytesPerToken,
            cacheBytesPerToken = s.CacheBytesPerToken,
            denseCacheBytesPerToken = s.DecodeSteps > 0 ? s.DenseBytesRead / s.DecodeSteps : 0,
            peakBytes = backend.Memory.PeakBytes,
        });

    /// <summary>The numbers as a table.</summary>
    public void WriteTable(GenerationStatistics s, bool cancelled)
    {
        AnsiConsole.WriteLine();
        var table = new Table().Border(TableBorder.Rounded).AddColumns("", "tokens", "seconds", "tokens/s", "weights read", "cache read", "of dense");
        foreach (var column in table.Columns.Skip(1)) column.RightAligned();
        table.AddRow("prefill", $"{s.PromptTokens:N0}", $"{s.PrefillSeconds:0.00}", $"{s.PrefillTokensPerSecond:N0}", "", "", "");
        if (s.DecodeSteps == 0) table.AddRow("decode", "0", "", "", "", "", "");
        else table.AddRow("decode", $"{s.DecodeSteps:N0}", $"{s.DecodeSeconds:0.00}", $"{s.DecodeTokensPerSecond:N0}",
            Bytes.Text(s.WeightBytesPerToken), Bytes.Text(s.CacheBytesPerToken), Bytes.Text(s.DenseBytesRead / s.DecodeSteps));
        AnsiConsole.Write(table);
        if (s.PreparationSeconds > s.CalibrationSeconds) AnsiConsole.MarkupLine($"[grey]beside that {s.PreparationSeconds - s.CalibrationSeconds:0.00} s to compile kernels and record steps[/]");
        if (s.CalibratedMaps > 0) AnsiConsole.MarkupLine($"[grey]beside that {s.CalibrationSeconds:0.00} s to make the channel map of the text and its labels{(s.CalibratedMaps > 1 ? $", {s.CalibratedMaps} times: it drifted" : "")}[/]");
        if (s.DecodeSteps > 0)
        {
            string kernels = s.KernelsPerStep > 0 ? $", {s.KernelsPerStep} kernels and copies a step" : "";
            AnsiConsole.MarkupLine($"[grey]decode: {s.ProcessorCores:0.00} processor cores{kernels}; memory at most {Bytes.Text(backend.Memory.PeakBytes)} of {Bytes.Text(plan.Total)} planned[/]");
        }
        if (cancelled) AnsiConsole.MarkupLine("[yellow]cancelled: the numbers are those so far[/]");
        if (s.DecodeSteps == 0) return;
        if (s.Offload is { Steps: > 0 } offload)
            AnsiConsole.MarkupLine($"over the bus [bold]{Bytes.Text(offload.BusBytesPerStep)}[/] a token{(options.HotTokens > 0 ? $"; {offload.HitRate:P1} of the selected rows outside of resident blocks were hot" : "")}{(options.KvPrediction != KvPrediction.Off ? $"; {offload.PredictionRate:P1} of the others had been brought ahead" : "")}{(offload.DroppedRows > 0 ? $"; {offload.DropRate:P1} were not worth fetching late" : "")}");
        if (options.Attention.Kind == AttentionKind.Dense) return;
        if (AnsiConsole.Profile.Capabilities.Ansi)
            AnsiConsole.Write(new BreakdownChart().Width(84).HideTags().AddItem("read", s.Density, Color.Green).AddItem("not read", Math.Max(0, 1 - s.Density), Color.Grey));
        AnsiConsole.MarkupLine($"density [bold green]{s.Density:P1}[/]: {Bytes.Text(s.CacheBytesPerToken)} a token read of labels and of selected K and V, instead of {Bytes.Text(s.DenseBytesRead / s.DecodeSteps)}");
    }
}
