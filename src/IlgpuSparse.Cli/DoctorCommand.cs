using System.CommandLine;
using System.Runtime.InteropServices;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse doctor</c>: what this machine offers, what will be used, and what is missing for more.</summary>
internal static class DoctorCommand
{
    private static readonly Option<bool> s_json = ModelOptions.Json();

    private sealed record Finding(string What, bool Good, string Detail);

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("doctor", "Checks the machine: runtime, processor, memory bandwidth, devices, the model that travels with the tool.") { s_json };
        command.SetAction((arguments, _) => CommandGuard.Run(() => Run(arguments.GetValue(s_json))));
        return command;
    }

    private static int Run(bool json)
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
        findings.Add(CheckModel());
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

    private static Finding CheckModel()
    {
        try
        {
            using var model = ModelFile.Open(EmbeddedModel.ModelPath);
            string? map = ChannelMapFile.Find(model.Path);
            if (map is not null) ChannelMapFile.Load(map, model);
            return new("default model", map is not null, $"{Path.GetFileName(model.Path)}, {model.Config.MaxContext:N0} tokens of context; channel map {(map is null ? "missing" : "fits")}");
        }
        catch (Exception e) when (e is ModelFormatException or IOException)
        {
            return new("default model", false, e.Message);
        }
    }
}
