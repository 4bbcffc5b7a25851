using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Cli;

/// <summary>The tool as a user starts it: a process, its two streams and its exit code.</summary>
public class CommandLineTests
{
    [Fact]
    public void Generate_continues_the_prompt_and_says_what_it_read()
    {
        var json = Tool.RunJson("generate", "--prompt", "It was a dark night, and the old captain", "--tokens", "12", "--attention", "dense", "--kv-type", "f32", "--temperature", "0");
        Assert.Equal("was not in the least disturbed.", json.GetProperty("text").GetString()!.TrimStart()[..31]);
        Assert.Equal(11, json.GetProperty("promptTokens").GetInt32());
        Assert.Equal(12, json.GetProperty("newTokens").GetInt32());
        Assert.Equal(1, json.GetProperty("density").GetDouble());
    }

    [Fact]
    public void Generate_takes_standard_input_and_a_seed()
    {
        string[] arguments = ["generate", "--prompt-file", "-", "--tokens", "8", "--temperature", "0.9", "--top-k", "50", "--seed", "5", "--json"];
        var (first, second) = (Tool.Run("The sea was calm that evening", arguments), Tool.Run("The sea was calm that evening", arguments));
        Assert.Equal(0, first.ExitCode);
        Assert.Equal(Text(first.Output), Text(second.Output));
        static string Text(string output) => JsonDocument.Parse(output).RootElement.GetProperty("text").GetString()!;
    }

    [Fact]
    public void Sparse_generation_reports_its_density()
    {
        string file = Path.GetTempFileName();
        File.WriteAllText(file, string.Concat(Enumerable.Repeat("The wind was in the trees, and nothing else moved on the hill. ", 60)));
        var json = Tool.RunJson("generate", "--prompt-file", file, "--tokens", "4", "--attention", "double-sparsity:tokens=1/16");
        File.Delete(file);
        Assert.InRange(json.GetProperty("density").GetDouble(), 0.09, 0.1);
        Assert.True(json.GetProperty("labelBytes").GetInt64() > 0);
    }

    [Fact]
    public void Inspect_logits_has_the_agreed_shape()
    {
        var json = Tool.RunJson("inspect", "logits", "--model", TestFiles.Data("checkpoints", "llama-mha"), "--ids", "1,2,3");
        Assert.Equal(256, json.GetProperty("logits").GetArrayLength());
        Assert.Equal(3, json.GetProperty("argmax").GetArrayLength());
        Assert.Equal(3, json.GetProperty("logSumExp").GetArrayLength());
    }

    [Fact]
    public void Inspect_plans_memory()
    {
        var json = Tool.RunJson("inspect", "--context", "8192");
        Assert.Equal(8192L * 8 * 2 * 128 * 2 * 2, json.GetProperty("plan").GetProperty("keysAndValues").GetInt64());
        Assert.Contains("books-16m", Tool.Run(null, "inspect").Output);
    }

    [Fact]
    public void Doctor_finds_the_machine_fit() => Assert.True(Tool.RunJson("doctor").GetProperty("good").GetBoolean());

    [Fact]
    public void Calibrate_writes_a_map_that_generate_takes()
    {
        string map = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.channels.json");
        var json = Tool.RunJson("calibrate", "--output", map, "--window", "512", "--windows", "1", "--steps", "20", "--statistic", "qk");
        Assert.Equal("qk", json.GetProperty("statistic").GetString());
        var generated = Tool.RunJson("generate", "--prompt", "Once upon a time", "--tokens", "3", "--attention", "double-sparsity:label=rotated,label-bits=32", "--channels", map);
        File.Delete(map);
        Assert.Equal(3, generated.GetProperty("newTokens").GetInt32());
    }

    /// <summary>Digits are further from prose than more of it, and the least of each kind is no more than its most.</summary>
    [Fact]
    public void Bench_drift_tells_texts_apart()
    {
        var json = Tool.RunJson("bench", "drift", "--backend", "cpu", "--starts", "1", "--length", "256");
        var most = json.GetProperty("rows").EnumerateArray().ToDictionary(r => r.GetProperty("next").GetString()!, r => r.GetProperty("after").GetProperty("512").EnumerateArray().Select(d => d.GetDouble()).Last());
        Assert.Equal(["the same text", "the same text elsewhere", "lines", "a pass key in the same text", "digits"], most.Keys);
        Assert.All(most.Values, drift => Assert.InRange(drift, 0, 1));
        Assert.True(most["the same text"] < most["lines"] && most["the same text"] < most["digits"], string.Join(' ', most));
    }

    /// <summary>What is planted and found by true scores is what is planted; more bits of the same label hold more of the attention.</summary>
    [Fact]
    public void Bench_labels_judges_labels_on_planted_attention()
    {
        var rows = Tool.RunJson("bench", "labels", "--contexts", "1K", "--steps", "10").GetProperty("rows").EnumerateArray().ToDictionary(r => r.GetProperty("label").GetString()!, r => r.GetProperty("mass").GetDouble());
        Assert.All(rows.Values, mass => Assert.InRange(mass, 0, rows["true scores"] + 0.05));
        foreach (string label in (string[])["rotated", "closed-form directions"]) Assert.True(rows[$"{label} 32"] < rows[$"{label} 128"], label);
    }

    /// <summary>A copy of the model, so that no map lies beside it: labels come from the text, and the output says so; <c>--channels none</c> is full attention.</summary>
    [Fact]
    public void A_model_without_a_map_makes_maps_of_its_texts()
    {
        using var directory = new TemporaryDirectory();
        string model = directory.File("model.gguf");
        File.Copy(TestFiles.Model, model);
        string[] generate = ["generate", "--backend", "cpu", "--model", model, "--prompt", string.Join(' ', Enumerable.Range(0, 150)), "--tokens", "4", "--temperature", "0"];
        var asked = Tool.RunJson([.. generate, "--attention", "double-sparsity:dense-below=100"]);
        Assert.EndsWith("map=online", asked.GetProperty("attention").GetString(), StringComparison.Ordinal);
        Assert.Contains("no channel map beside the model", asked.GetProperty("attentionReason").GetString(), StringComparison.Ordinal);
        Assert.Equal(1, asked.GetProperty("calibratedMaps").GetInt32());
        var chosen = Tool.RunJson([.. generate, "--context", "5000"]);
        Assert.Contains("map=online", chosen.GetProperty("attention").GetString(), StringComparison.Ordinal);
        var none = Tool.RunJson([.. generate, "--context", "5000", "--channels", "none"]);
        Assert.Equal("dense", none.GetProperty("attention").GetString());
    }

    [Fact]
    public void Bench_attention_measures_and_saves_what_can_be_plotted_later()
    {
        string file = Path.GetTempFileName();
        var json = Tool.RunJson("bench", "attention", "--backend", "cpu", "--contexts", "100,1K", "--heads", "4x2x64", "--samples", "2", "--cold", "0", "--output", file);
        Assert.Equal("cpu", json.GetProperty("backend").GetString());
        var rows = json.GetProperty("rows").EnumerateArray().ToList();
        Assert.Equal(1 + 2 * 3, rows.Count);
        Assert.All(rows, row => Assert.True(row.GetProperty("microseconds").GetDouble() > 0));
        var saved = Tool.RunJson("bench", "attention", "--plot-from", file);
        File.Delete(file);
        Assert.Equal(json.GetRawText(), saved.GetRawText());
    }

    [Fact]
    public void Every_help_says_how_to_go_on()
    {
        Assert.Contains("ilgpusparse generate", Tool.Run(null).Output, StringComparison.Ordinal);
        foreach (string[] command in (string[][])[["generate"], ["calibrate"], ["inspect"], ["inspect", "logits"]])
        {
            var result = Tool.Run(null, [.. command, "--help"]);
            Assert.Equal(0, result.ExitCode);
            Assert.Contains("Examples:", result.Output, StringComparison.Ordinal);
            Assert.Contains($"ilgpusparse {string.Join(' ', command)} ", result.Output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Interrupted_generation_ends_with_the_statistics_so_far()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "signals are sent by kill");
        // A program started in the background by a shell without job control inherits that SIGINT is ignored, and so do its children.
        string ignored = File.ReadLines("/proc/self/status").First(l => l.StartsWith("SigIgn:", StringComparison.Ordinal))[7..].Trim();
        Assert.SkipWhen((Convert.ToUInt64(ignored, 16) & 2) != 0, "SIGINT is ignored here");
        using var process = Tool.Start("generate", "--tokens", "300000", "--prompt", "a b c", "--attention", "dense");
        process.StandardInput.Close();
        var output = new StringBuilder();
        var buffer = new char[256];
        // Interrupted only when text is seen, however long the start takes: the head ends with the prompt, and the continuation follows it.
        while (output.ToString().IndexOf("a b c", StringComparison.Ordinal) is var start && (start < 0 || output.Length < start + 40))
        {
            int read = await process.StandardOutput.ReadAsync(buffer, TestContext.Current.CancellationToken);
            Assert.True(read > 0, $"the tool ended by itself: {output}");
            output.Append(buffer, 0, read);
        }
        Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]).WaitForExit();
        output.Append(await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken));
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(2)), "the tool did not end");
        Assert.Equal(130, process.ExitCode);
        Assert.Contains("cancelled: the numbers are those so far", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("of dense", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Chat_answers_each_line_and_keeps_the_conversation()
    {
        var result = Tool.Run("It was a dark night, and the old captain\n/dense\nThe sea\n/exit\nnever read\n", "chat", "--json", "--temperature", "0", "--max-tokens", "6", "--backend", "cpu");
        Assert.True(result.ExitCode == 0, result.Error);
        var answers = result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => l.StartsWith('{')).Select(l => JsonDocument.Parse(l).RootElement).ToList();
        Assert.Equal(2, answers.Count);
        Assert.StartsWith("was not in the least", answers[0].GetProperty("text").GetString()!.TrimStart(), StringComparison.Ordinal);
        Assert.InRange(answers[1].GetProperty("reusedTokens").GetInt32(), 11, answers[1].GetProperty("promptTokens").GetInt32());
    }

    [Fact]
    public void Shells_get_scripts_and_completions()
    {
        foreach (string shell in (string[])["bash", "zsh", "fish", "pwsh"]) Assert.Contains("[suggest:", Tool.Run(null, "completion", shell).Output, StringComparison.Ordinal);
        string line = "ilgpusparse ser";
        Assert.Contains("serve", Tool.Run(null, $"[suggest:{line.Length}]", line).Output.Split('\n').Select(l => l.Trim()));
        line = "ilgpusparse serve --po";
        Assert.Contains("--port", Tool.Run(null, $"[suggest:{line.Length}]", line).Output.Split('\n').Select(l => l.Trim()));
    }

    [Fact]
    public async Task Serve_listens_and_stops_when_it_is_told()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "signals are sent by kill");
        using var process = Tool.Start("serve", "--port", "0", "--context", "512", "--backend", "cpu", "--api-key", "secret");
        process.StandardInput.Close();
        string? line, address = null;
        while (address is null && (line = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)) is not null)
            if (line.StartsWith("listening at ", StringComparison.Ordinal)) address = line.Split(' ')[2];
        using var http = new HttpClient { BaseAddress = new Uri(address!) };
        Assert.Equal("ready", await http.GetStringAsync("readyz", TestContext.Current.CancellationToken));
        Assert.Equal(System.Net.HttpStatusCode.Unauthorized, (await http.GetAsync("v1/models", TestContext.Current.CancellationToken)).StatusCode);
        Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]).WaitForExit();
        Assert.True(process.WaitForExit(TimeSpan.FromMinutes(1)), "the server did not stop");
        Assert.Equal(0, process.ExitCode);
    }
}
