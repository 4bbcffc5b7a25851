using System.Diagnostics;
using System.Text.Json;

namespace IlgpuSparse.Tests.Cli;

/// <summary>The tool as a user starts it: a process, its two streams and its exit code.</summary>
public class CommandLineTests
{
    [Fact]
    public void Generate_continues_the_prompt_and_says_what_it_read()
    {
        var json = RunJson("generate", "--prompt", "It was a dark night, and the old captain", "--tokens", "12", "--attention", "dense", "--kv-type", "f32");
        Assert.Equal("was not in the least disturbed.", json.GetProperty("text").GetString()!.TrimStart()[..31]);
        Assert.Equal(11, json.GetProperty("promptTokens").GetInt32());
        Assert.Equal(12, json.GetProperty("newTokens").GetInt32());
        Assert.Equal(1, json.GetProperty("density").GetDouble());
    }

    [Fact]
    public void Generate_takes_standard_input_and_a_seed()
    {
        string[] arguments = ["generate", "--prompt-file", "-", "--tokens", "8", "--temperature", "0.9", "--top-k", "50", "--seed", "5", "--json"];
        var (first, second) = (Run("The sea was calm that evening", arguments), Run("The sea was calm that evening", arguments));
        Assert.Equal(0, first.ExitCode);
        Assert.Equal(Text(first.Output), Text(second.Output));
        static string Text(string output) => JsonDocument.Parse(output).RootElement.GetProperty("text").GetString()!;
    }

    [Fact]
    public void Sparse_generation_reports_its_density()
    {
        string file = Path.GetTempFileName();
        File.WriteAllText(file, string.Concat(Enumerable.Repeat("The wind was in the trees, and nothing else moved on the hill. ", 60)));
        var json = RunJson("generate", "--prompt-file", file, "--tokens", "4", "--attention", "double-sparsity:tokens=1/16");
        File.Delete(file);
        Assert.InRange(json.GetProperty("density").GetDouble(), 0.09, 0.1);
        Assert.True(json.GetProperty("labelBytes").GetInt64() > 0);
    }

    [Fact]
    public void Inspect_logits_has_the_agreed_shape()
    {
        var json = RunJson("inspect", "logits", "--model", TestFiles.Data("checkpoints", "llama-mha"), "--ids", "1,2,3");
        Assert.Equal(256, json.GetProperty("logits").GetArrayLength());
        Assert.Equal(3, json.GetProperty("argmax").GetArrayLength());
        Assert.Equal(3, json.GetProperty("logSumExp").GetArrayLength());
    }

    [Fact]
    public void Inspect_plans_memory()
    {
        var json = RunJson("inspect", "--context", "8192");
        Assert.Equal(8192L * 8 * 2 * 128 * 2 * 2, json.GetProperty("plan").GetProperty("keysAndValues").GetInt64());
        Assert.Contains("books-16m", Run(null, "inspect").Output);
    }

    [Fact]
    public void Doctor_finds_the_machine_fit() => Assert.True(RunJson("doctor").GetProperty("good").GetBoolean());

    [Fact]
    public void Calibrate_writes_a_map_that_generate_takes()
    {
        string map = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.channels.json");
        var json = RunJson("calibrate", "--output", map, "--window", "512", "--windows", "1", "--statistic", "qk");
        Assert.Equal("qk", json.GetProperty("statistic").GetString());
        var generated = RunJson("generate", "--prompt", "Once upon a time", "--tokens", "3", "--channels", map);
        File.Delete(map);
        Assert.Equal(3, generated.GetProperty("newTokens").GetInt32());
    }

    [Fact]
    public void Bench_attention_measures_and_saves_what_can_be_plotted_later()
    {
        string file = Path.GetTempFileName();
        var json = RunJson("bench", "attention", "--backend", "cpu", "--contexts", "100,1K", "--heads", "4x2x64", "--samples", "2", "--cold", "0", "--output", file);
        Assert.Equal("cpu", json.GetProperty("backend").GetString());
        var rows = json.GetProperty("rows").EnumerateArray().ToList();
        Assert.Equal(1 + 2 * 3, rows.Count);
        Assert.All(rows, row => Assert.True(row.GetProperty("microseconds").GetDouble() > 0));
        var saved = RunJson("bench", "attention", "--plot-from", file);
        File.Delete(file);
        Assert.Equal(json.GetRawText(), saved.GetRawText());
    }

    [Fact]
    public void A_benchmark_that_cannot_run_fails()
    {
        var result = Run(null, "bench", "attention", "--backend", "cpu", "--contexts", "100", "--heads", "4x2x64", "--kv-type", "int8", "-a", "dense");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("does not store", result.Output);
    }

    public static readonly TheoryData<string, string[]> BadCalls = new()
    {
        { "no such model", ["generate", "--model", "nowhere.gguf"] },
        { "unknown attention", ["generate", "--attention", "magic"] },
        { "exclude each other", ["generate", "--prompt", "a", "--prompt-file", "b"] },
        { "at least 1", ["generate", "--prompt", "a", "--tokens", "0"] },
        { "--context 3", ["generate", "--prompt", "a b c d e f", "--context", "3"] },
        { "top-p 2", ["generate", "--prompt", "a", "--top-p", "2"] },
        { "token id 999999", ["inspect", "logits", "--ids", "999999"] },
        { "'x' is not a token id", ["inspect", "logits", "--ids", "1,x"] },
        { "one of the two", ["inspect", "logits"] },
        { "--window 10", ["calibrate", "--window", "10"] },
        { "3 query heads are no multiple of 2", ["bench", "attention", "--heads", "3x2"] },
        { "--contexts 0", ["bench", "attention", "--contexts", "0"] },
        { "dense-layers has no meaning", ["bench", "attention", "-a", "double-sparsity:dense-layers=1"] },
    };

    [Theory]
    [MemberData(nameof(BadCalls))]
    public void Bad_calls_end_with_one_clear_message(string message, string[] arguments)
    {
        var result = Run(null, arguments);
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains(message, result.Error.ReplaceLineEndings(" "));
        Assert.DoesNotContain("   at ", result.Error);
    }

    private static JsonElement RunJson(params string[] arguments)
    {
        var result = Run(null, [.. arguments, "--json"]);
        Assert.True(result.ExitCode == 0, result.Error);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static (int ExitCode, string Output, string Error) Run(string? input, params string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) == "dotnet" ? path : "dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "IlgpuSparse.Cli.dll"));
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(3)), "the tool did not end");
        return (process.ExitCode, output, error.Result);
    }
}
