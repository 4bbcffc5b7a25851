using System.CommandLine;
using System.Runtime.InteropServices;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse doctor</c>: what this machine offers, what will be used, and what is missing for more.</summary>
internal static class DoctorCommand
{
    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private sealed record Finding(string What, bool Good, string Detail);

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("doctor", "Checks the machine: runtime, processor, memory bandwidth, devices, and whether the model opens, fits and answers.") { s_model, s_json };
        command.SetAction((arguments, _) => CommandGuard.Run(() => Run(arguments.ModelPath(s_model), arguments.GetValue(s_json))));
        return command;
    }

    private static int Run(string modelPath, bool json)
    {
        var findings = new List<Finding>
        {
            new("runtime", true, $"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}"),
        };
        using (var cpu = new CpuBackend())
        {
            double bandwidth = ReadBandwidth.Measure(cpu.Pool, 256L << 20, TimeSpan.FromMilliseconds(500));
            findings.Add(new("cpu", true, $"{cpu.Description}; reads memory at {bandwidth / 1e9:0.0} GB/s"));
        }
        foreach (var device in GpuDevice.Find())
            findings.Add(new(BackendName(device.Kind), true, $"{(device.Name.Length == 0 ? "none" : device.Name)}: {device.Detail}"));
        using (var chosen = ComputeBackends.Create("auto"))
            findings.Add(new("used by auto", true, $"{chosen.Name}: {chosen.Description}"));
        var memory = GC.GetGCMemoryInfo();
        findings.Add(new("memory", true, $"{Bytes.Text(memory.TotalAvailableMemoryBytes)} available to this process"));
        findings.AddRange(CheckModel(modelPath));
        bool good = findings.All(f => f.Good);
        if (json)
        {
            JsonOutput.Write(new { good, findings });
            return good ? 0 : 1;
        }
        var table = new Table().Border(TableBorder.Rounded).AddColumns("", "", "");
        table.HideHeaders();
        foreach (var f in findings) table.AddRow(new Markup(f.Good ? "[green]ok[/]" : "[red]no[/]"), new Text(f.What), new Text(f.Detail));
        AnsiConsole.Write(table);
        return good ? 0 : 1;
    }

    // As --backend names it.
    private static string BackendName(GpuKind kind) => kind == GpuKind.CpuAccelerator ? "ilgpu-cpu" : kind.ToString().ToLowerInvariant();

    // What 'generate', 'chat' and 'serve' need of it, one after the other; the first that fails ends the list.
    private static List<Finding> CheckModel(string path)
    {
        var findings = new List<Finding>();
        string what = "model";
        try
        {
            using (var file = ModelFile.Open(path))
            {
                var c = file.Config;
                findings.Add(new(what, true, $"{Path.GetFileName(path.TrimEnd('/'))}: {c.ModelType}, {c.Layers} layers, {string.Join(", ", file.Tensors.Where(t => t.Shape.Count > 1).Select(t => t.Format).Distinct())}; made for {c.MaxContext:N0} tokens"));
                what = "tokenizer";
                var tokenizer = ModelOptions.Tokenizer(file, path);
                const string Sample = "Größe in m²: 42!";
                bool same = tokenizer.Decode(tokenizer.Encode(Sample)) == Sample;
                findings.Add(new(what, same, $"{file.Tokenizer!.Kind}, {tokenizer.VocabularySize:N0} tokens; {(same ? "text comes back as it was" : $"'{Sample}' comes back as '{tokenizer.Decode(tokenizer.Encode(Sample))}'")}"));
                what = "channel map";
                string? map = ChannelMapFile.Find(path);
                if (map is not null) ChannelMapFile.Load(map, file);
                findings.Add(new(what, true, map is null ? $"none: full attention alone, until 'ilgpusparse calibrate --model {path}' makes one" : $"{Path.GetFileName(map)} fits"));
            }
            what = "chat template";
            using var model = ChatModel.Open(path, new ChatModelOptions { Context = 1024, MaxTokens = 8 });
            findings.Add(new(what, true, model.Template.Name == "model" ? "the model's own" : "the model carries none: 'plain' goes on with the text; --chat-template names another"));
            what = "answer";
            findings.Add(Answer(model).GetAwaiter().GetResult());
        }
        catch (Exception e) when (e is ModelFormatException or IOException or UnauthorizedAccessException or ArgumentException or ChatTemplateException or InvalidOperationException or NotSupportedException or InsufficientMemoryException or ArithmeticException)
        {
            findings.Add(new(what, false, e.Message));
        }
        return findings;
    }

    private static async Task<Finding> Answer(ChatModel model)
    {
        var answer = model.Generate(new TextRequest { Prompt = model.Tokenizer.Encode("Once upon a time"), IsContinuation = true });
        string text = "";
        await foreach (var piece in answer) text += piece.Text;
        return new("answer", true, $"on {model.Backend.Name} with {model.Attention}: 'Once upon a time{text.ReplaceLineEndings(" ")}', {answer.Statistics.DecodeTokensPerSecond:0} tokens a second");
    }
}
