using IlgpuSparse.Model;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Cli;

/// <summary>What the tool says of calls and files that cannot be: one message that names what is wrong, and an exit code.</summary>
public class CommandLineErrorTests
{
    [Fact]
    public void A_benchmark_that_cannot_run_fails()
    {
        var result = Tool.Run(null, "bench", "attention", "--backend", "cpu", "--contexts", "100", "--heads", "4x2x16", "-a", "double-sparsity:channels=32");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("channels=32: a head of this model has 16", result.Output);
    }

    public static readonly TheoryData<string, string[]> BadCalls = new()
    {
        { "nowhere.gguf: no such model", ["generate", "--model", "nowhere.gguf"] },
        { "no config.json", ["generate", "--model", TestFiles.Data("hf-configs")] },
        { "magic", ["generate", "--attention", "magic"] },
        { "bits=3", ["generate", "--attention", "double-sparsity:bits=3"] },
        { "channels=200", ["generate", "--prompt", "a", "--attention", "double-sparsity:channels=200"] },
        { "exclude each other", ["generate", "--prompt", "a", "--prompt-file", "b"] },
        { "nothing.txt", ["generate", "--prompt-file", "nothing.txt"] },
        { "is a directory", ["generate", "--prompt-file", "."] },
        { "the prompt is empty", ["generate", "--prompt-file", "-"] },
        { "--tokens 0: expected a whole number from 1", ["generate", "--prompt", "a", "--tokens", "0"] },
        { "--tokens x", ["generate", "--tokens", "x"] },
        { "'--tokens'", ["generate", "--tokens"] },
        { "--context 3", ["generate", "--prompt", "a b c d e f", "--context", "3"] },
        { "--context 2000000000", ["generate", "--prompt", "a", "--context", "2000000000"] },
        { "a context of 200,000,000 tokens needs", ["generate", "--prompt", "a", "--context", "200000000", "--backend", "cpu"] },
        { "--temperature -1", ["generate", "--prompt", "a", "--temperature", "-1"] },
        { "--top-p 2", ["generate", "--prompt", "a", "--top-p", "2"] },
        { "top-p 0", ["generate", "--prompt", "a", "--top-p", "0"] },
        { "--kv-type f8: expected one of f32, f16, bf16", ["generate", "--kv-type", "f8"] },
        { "no backend nonsense", ["generate", "--prompt", "a", "--backend", "nonsense"] },
        { "token id 999999", ["inspect", "logits", "--ids", "999999"] },
        { "'x' is not a token id", ["inspect", "logits", "--ids", "1,x"] },
        { "'-1' is not a token id", ["inspect", "logits", "--ids", "-1"] },
        { "no token ids", ["inspect", "logits", "--ids", ""] },
        { "one of the two", ["inspect", "logits"] },
        { "--context -3", ["inspect", "--context", "-3"] },
        { "--window 10", ["calibrate", "--window", "10"] },
        { "3 query heads are no multiple of 2", ["bench", "attention", "--heads", "3x2"] },
        { "--length 8192", ["bench", "drift", "--length", "8192"] },
        { "--contexts 0", ["bench", "attention", "--contexts", "0"] },
        { "dense-layers has no meaning", ["bench", "attention", "-a", "double-sparsity:dense-layers=1"] },
        { "--statistic foo: expected one of qk, q, k, variance", ["calibrate", "--statistic", "foo"] },
        { "nowhere/map.json", ["calibrate", "--output", "nowhere/map.json"] },
        { "--port 99999: expected a whole number from 0 to 65535", ["serve", "--port", "99999"] },
        { "--host nowhere.invalid: no such address", ["serve", "--host", "nowhere.invalid", "--context", "256"] },
        { "no chat template 'alpaca'", ["chat", "--chat-template", "alpaca"] },
        { "no shell 'tcsh'", ["completion", "tcsh"] },
        { "bogus", ["bogus"] },
    };

    [Theory]
    [MemberData(nameof(BadCalls))]
    public void Bad_calls_end_with_one_clear_message(string message, string[] arguments)
    {
        var result = Tool.Run(null, arguments);
        Assert.NotEqual(0, result.ExitCode);
        AssertOneMessage(result.Error, message);
        Assert.DoesNotContain("Usage:", result.Output, StringComparison.Ordinal);
    }

    public static readonly TheoryData<string> DamagedWeights =
        [.. Directory.EnumerateFiles(TestFiles.Data("safetensors"), "*.safetensors").Select(f => Path.GetFileName(f)).Where(f => f.StartsWith("bad_") || f.StartsWith("duplicate_")).Order()];

    [Theory]
    [MemberData(nameof(DamagedWeights))]
    public void Damaged_weights_end_with_one_clear_message(string file)
    {
        using var directory = new TemporaryDirectory();
        directory.CopyFrom(TestFiles.Data("checkpoints", "llama-mha"));
        File.Copy(TestFiles.Data("safetensors", file), directory.File("model.safetensors"), overwrite: true);
        var result = Tool.Run(null, "inspect", "--model", directory.Path);
        Assert.Equal(1, result.ExitCode);
        AssertOneMessage(result.Error, directory.File("model.safetensors") + ": ");
    }

    [Fact]
    public void A_truncated_model_ends_with_one_clear_message()
    {
        using var directory = new TemporaryDirectory();
        string path = directory.Write("cut.gguf", File.ReadAllBytes(TestFiles.Model)[..5_000_000]);
        var result = Tool.Run(null, "generate", "--model", path);
        Assert.Equal(1, result.ExitCode);
        AssertOneMessage(result.Error, "cut short");
    }

    [Fact]
    public void A_missing_or_foreign_channel_map_is_said_with_what_to_do()
    {
        using var directory = new TemporaryDirectory();
        string model = directory.File("other.gguf"), map = File.ReadAllText(Path.ChangeExtension(TestFiles.Model, ".channels.json"));
        File.Copy(TestFiles.Model, model);
        AssertOneMessage(Tool.Run(null, "generate", "--prompt", "a", "--model", model, "--attention", "double-sparsity", "--channels", "none").Error, $"ilgpusparse calibrate --model {model}");
        AssertOneMessage(Tool.Run(null, "generate", "--prompt", "a", "--model", model, "--attention", "double-sparsity", "--save-state", "s").Error, "s: a state file does not hold the channel map of a text");
        using (var file = ModelFile.Open(model))
            map = map.Replace(file.Fingerprint, "0123456789abcdef", StringComparison.Ordinal);
        var result = Tool.Run(null, "generate", "--prompt", "a", "--model", model, "--attention", "double-sparsity", "--channels", directory.Write("foreign.json", map));
        Assert.Equal(1, result.ExitCode);
        AssertOneMessage(result.Error, "was made with model 0123456789abcdef");
    }

    private static void AssertOneMessage(string error, string part)
    {
        Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
        Assert.DoesNotContain("Parameter", error, StringComparison.Ordinal);
        Assert.InRange(error.Trim().Split('\n').Length, 1, 3);
    }
}
