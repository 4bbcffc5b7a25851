using System.Text.Json.Nodes;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>Hugging Face directories: the four small checkpoints, and directories in which something is wrong.</summary>
public sealed class HuggingFaceModelTests : IDisposable
{
    private const string Index = "model.safetensors.index.json";
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("llama-mha", WeightFormat.F32, 21)]
    [InlineData("llama3-rope", WeightFormat.F16, 21)]
    [InlineData("llama-gqa-bf16-sharded", WeightFormat.BF16, 20)]
    [InlineData("mixtral", WeightFormat.F32, 41)]
    public void Checkpoints_open(string name, WeightFormat format, int tensors)
    {
        using var model = ModelFile.Open(TestFiles.Data("checkpoints", name));
        Assert.Equal(tensors, model.Tensors.Count);
        Assert.All(model.Tensors, t => Assert.Equal(format, t.Format));
        foreach (var (tensor, shape) in WeightPlan.Of(model.Config)) Assert.Equal(tensor, model.Require(tensor, shape).Name);
        Assert.Equal(name == "llama-gqa-bf16-sharded", model.Config.TiedEmbeddings);
        Assert.Equal(name == "mixtral" ? 4 : 0, model.Config.Experts);
        Assert.Equal([2], model.Config.EosIds);
        Assert.Null(model.Tokenizer);
        using var again = ModelFile.Open(TestFiles.Data("checkpoints", name));
        Assert.Equal(model.Fingerprint, again.Fingerprint);
    }

    [Fact]
    public void Missing_files_are_named()
    {
        Assert.Contains("no config.json", Refused(_directory.Path));
        Copy("llama-mha");
        File.Delete(_directory.File("model.safetensors"));
        Assert.Contains($"neither model.safetensors nor {Index}", Refused(_directory.Path));
        _directory.Write("pytorch_model.bin", "");
        Assert.Contains("pytorch_model.bin is not supported", Refused(_directory.Path));
    }

    [Fact]
    public void A_missing_or_damaged_shard_is_named()
    {
        Copy("llama-gqa-bf16-sharded");
        string shard = _directory.File("model-00003-of-00005.safetensors");
        byte[] whole = File.ReadAllBytes(shard);
        File.Delete(shard);
        Assert.Contains("shard 'model-00003-of-00005.safetensors' is missing", Refused(_directory.File(Index)));
        File.WriteAllBytes(shard, whole[..^1]);
        Assert.Contains("cut short", Refused(shard));
        File.WriteAllBytes(shard, SafetensorsFileTests.Bytes("{}", 0));
        Assert.Contains($"which {Index} places there", Refused(shard));
    }

    [Theory]
    [InlineData("../model-00001-of-00005.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("sub/model.safetensors")]
    [InlineData("..")]
    [InlineData("..\\model.safetensors")]
    [InlineData("")]
    public void An_index_that_leaves_the_directory_is_refused(string shard)
    {
        Copy("llama-gqa-bf16-sharded");
        var index = JsonNode.Parse(File.ReadAllText(_directory.File(Index)))!;
        index["weight_map"]!["model.norm.weight"] = shard;
        _directory.Write(Index, index.ToJsonString());
        Assert.Contains("not the name of a file in the directory", Refused(_directory.File(Index)));
    }

    [Fact]
    public void An_index_that_forgets_a_tensor_is_refused()
    {
        Copy("llama-gqa-bf16-sharded");
        var index = JsonNode.Parse(File.ReadAllText(_directory.File(Index)))!;
        index["weight_map"]!.AsObject().Remove("model.layers.1.mlp.up_proj.weight");
        _directory.Write(Index, index.ToJsonString());
        Assert.Contains("no tensor for 'model.layers.1.mlp.up_proj.weight'", Refused(_directory.Path));
        _directory.Write(Index, "{}");
        Assert.Contains("no 'weight_map'", Refused(_directory.File(Index)));
    }

    [Theory]
    [InlineData("intermediate_size", "96", "[96, 64]")]
    [InlineData("num_key_value_heads", "2", "[32, 64]")]
    [InlineData("num_hidden_layers", "3", "model.layers.2.")]
    [InlineData("vocab_size", "255", "[255, 64]")]
    [InlineData("attention_bias", "true", "q_proj.bias")]
    [InlineData("mlp_bias", "true", "gate_proj.bias")]
    public void A_configuration_that_contradicts_the_weights_is_refused(string key, string value, string reason)
    {
        Copy("llama-mha");
        Set(key, value);
        Assert.Contains(reason, Refused(_directory.Path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_weight_of_another_dtype_is_refused_by_name()
    {
        Copy("llama-mha");
        string path = _directory.File("model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        int at = bytes.AsSpan().IndexOf("\"F32\""u8);
        "\"I32\""u8.CopyTo(bytes.AsSpan(at));
        File.WriteAllBytes(path, bytes);
        Assert.Contains("dtype I32", Refused(path), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_in_use_by_a_disposed_model_can_be_deleted()
    {
        Copy("llama-mha");
        ModelFile.Open(_directory.Path).Dispose();
        File.Delete(_directory.File("model.safetensors"));
        Assert.False(File.Exists(_directory.File("model.safetensors")));
    }

    private void Copy(string checkpoint) => _directory.CopyFrom(TestFiles.Data("checkpoints", checkpoint));

    private void Set(string key, string value)
    {
        var config = JsonNode.Parse(File.ReadAllText(_directory.File("config.json")))!;
        config[key] = JsonNode.Parse(value);
        _directory.Write("config.json", config.ToJsonString());
    }

    /// <summary>The message with which the directory is refused; it begins with <paramref name="path"/>.</summary>
    private string Refused(string path)
    {
        var e = Assert.Throws<ModelFormatException>(() => ModelFile.Open(_directory.Path).Dispose());
        Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
        return e.Message;
    }
}
