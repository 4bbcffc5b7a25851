using System.Diagnostics;
using System.Text.Json;

namespace IlgpuSparse.Tests.Cli;

/// <summary>The tool as a process.</summary>
internal static class Tool
{
    /// <summary>What a call with <c>--json</c> says; it has to succeed.</summary>
    public static JsonElement RunJson(params string[] arguments)
    {
        var result = Run(null, [.. arguments, "--json"]);
        Assert.True(result.ExitCode == 0, result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    /// <summary>A call to its end, with <paramref name="input"/> as standard input.</summary>
    public static (int ExitCode, string Output, string Error) Run(string? input, params string[] arguments)
    {
        using var process = Start(arguments);
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(3)), "the tool did not end");
        return (process.ExitCode, output, error.Result);
    }

    /// <summary>A call that goes on; its streams are the caller's.</summary>
    public static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "IlgpuSparse.Cli.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }
}
