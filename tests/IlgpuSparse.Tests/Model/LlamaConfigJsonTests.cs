using System.Text.Json.Nodes;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>config.json as it occurs in the wild.</summary>
public sealed class LlamaConfigJsonTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    // layers, hidden, intermediate, vocabulary, heads, kv heads, head size, context, window, theta, experts, active
    [InlineData("Llama-2-7b-hf", 32, 4096, 11008, 32000, 32, 32, 128, 4096, 0, 1e4f, 0, 0, false)]
    [InlineData("Llama-2-7b-hf.transformers-4.39", 32, 4096, 11008, 32000, 32, 32, 128, 4096, 0, 1e4f, 0, 0, false)]
    [InlineData("Llama-3.1-8B", 32, 4096, 14336, 128256, 32, 8, 128, 131072, 0, 5e5f, 0, 0, false)]
    [InlineData("Llama-3.1-8B-Instruct", 32, 4096, 14336, 128256, 32, 8, 128, 131072, 0, 5e5f, 0, 0, false)]
    [InlineData("Ministral-8B-Instruct-2410", 36, 4096, 12288, 131072, 32, 8, 128, 32768, 32768, 1e8f, 0, 0, false)]
    [InlineData("Mistral-7B-v0.1", 32, 4096, 14336, 32000, 32, 8, 128, 32768, 4096, 1e4f, 0, 0, false)]
    [InlineData("Mixtral-8x7B-v0.1", 32, 4096, 14336, 32000, 32, 8, 128, 32768, 0, 1e6f, 8, 2, false)]
    [InlineData("SmolLM2-135M", 30, 576, 1536, 49152, 9, 3, 64, 8192, 0, 1e5f, 0, 0, true)]
    [InlineData("transformers5-style-tiny-llama", 1, 4, 8, 6, 2, 1, 2, 8192, 0, 1e5f, 0, 0, true)]
    public void Published_configurations_have_the_right_sizes(string name, int layers, int hidden, int intermediate, int vocabulary, int heads, int kvHeads, int headDim, int context,
        int window, float theta, int experts, int active, bool tied)
    {
        using var json = JsonFile.Open(TestFiles.Data("hf-configs", name + ".json"));
        var c = LlamaConfigJson.Read(json);
        Assert.Equal((layers, hidden, intermediate, vocabulary, heads, kvHeads, headDim, context), (c.Layers, c.HiddenSize, c.IntermediateSize, c.VocabularySize, c.Heads, c.KvHeads, c.HeadDim, c.MaxContext));
        Assert.Equal((window, theta, experts, active, tied, heads / kvHeads), (c.SlidingWindow, c.RopeTheta, c.Experts, c.ActiveExperts, c.TiedEmbeddings, c.GroupSize));
        Assert.Equal(1e-5f, c.NormEpsilon);
        Assert.Equal(RopeStyle.HalfSplit, c.RopeStyle);
        Assert.Equal(name.StartsWith("Llama-3.1", StringComparison.Ordinal) ? new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 8192) : RopeScaling.None, c.RopeScaling);
        Assert.False(c.QkvBias || c.OutputBias || c.MlpBias);
        Assert.Equal(name == "Llama-3.1-8B-Instruct" ? [128001, 128008, 128009] : name == "Llama-3.1-8B" ? [128001] : name == "SmolLM2-135M" ? [0] : [2], c.EosIds);
    }

    [Fact]
    public void Absent_and_null_keys_take_the_defaults_of_the_model_type()
    {
        var bare = Read("{}");
        Assert.Equal((8, 2048, 1e-6f, 1e4f, 8), (bare.KvHeads, bare.MaxContext, bare.NormEpsilon, bare.RopeTheta, bare.HeadDim));
        Assert.Empty(bare.EosIds);
        Assert.Null(bare.BosId);
        Assert.Equal(bare, Read("""{"num_key_value_heads":null,"rope_theta":null,"rope_scaling":null,"head_dim":null,"eos_token_id":null,"sliding_window":7}""") with { EosIds = bare.EosIds });
        var mistral = Read("""{"model_type":"mistral"}""");
        Assert.Equal((8, 4096), (mistral.KvHeads, mistral.SlidingWindow));
        Assert.Equal(0, Read("""{"model_type":"mistral","sliding_window":null}""").SlidingWindow);
        var mixtral = Read("""{"model_type":"mixtral"}""");
        Assert.Equal((8, 2, 1e6f, 1e-5f), (mixtral.Experts, mixtral.ActiveExperts, mixtral.RopeTheta, mixtral.NormEpsilon));
    }

    [Fact]
    public void Biases_follow_the_model_type()
    {
        var llama = Read("""{"attention_bias":true,"mlp_bias":true}""");
        Assert.True(llama.QkvBias && llama.OutputBias && llama.MlpBias);
        var qwen = Read("""{"model_type":"qwen2","num_key_value_heads":2}""");
        Assert.True(qwen.QkvBias && !qwen.OutputBias && !qwen.MlpBias);
    }

    [Theory]
    [InlineData("""{"sliding_window":4096}""", 0)]
    [InlineData("""{"sliding_window":4096,"use_sliding_window":false}""", 0)]
    [InlineData("""{"sliding_window":4096,"use_sliding_window":true,"max_window_layers":2}""", 0)]
    [InlineData("""{"sliding_window":4096,"use_sliding_window":true,"max_window_layers":0}""", 4096)]
    [InlineData("""{"sliding_window":4096,"use_sliding_window":true,"layer_types":["sliding_attention","sliding_attention"]}""", 4096)]
    public void Qwen2_uses_its_window_only_when_told_to(string overrides, int window)
    {
        var json = JsonNode.Parse(overrides)!.AsObject();
        json["model_type"] = "qwen2";
        json["num_key_value_heads"] = 2;
        Assert.Equal(window, Read(json.ToJsonString()).SlidingWindow);
    }

    [Theory]
    [InlineData("""{"rope_scaling":{"type":"linear","factor":4}}""", RopeScalingKind.Linear, 4f, 1e4f)]
    [InlineData("""{"rope_scaling":{"rope_type":"linear","type":"ignored","factor":2.5},"rope_theta":77}""", RopeScalingKind.Linear, 2.5f, 77f)]
    [InlineData("""{"rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":5000},"rope_theta":1}""", RopeScalingKind.Linear, 2f, 5000f)]
    [InlineData("""{"rope_parameters":{"rope_theta":5000}}""", RopeScalingKind.None, 1f, 5000f)]
    [InlineData("""{"rope_theta":1e6}""", RopeScalingKind.None, 1f, 1e6f)]
    public void Rope_is_read_in_both_styles(string overrides, RopeScalingKind kind, float factor, float theta)
    {
        var c = Read(overrides);
        Assert.Equal((kind, factor, theta), (c.RopeScaling.Kind, c.RopeScaling.Factor, c.RopeTheta));
    }

    [Fact]
    public void Generation_settings_add_ends_of_sequence()
    {
        using var config = Json("""{"eos_token_id":2}""");
        using var generation = JsonFile.Open(_directory.Write("generation_config.json", """{"eos_token_id":[2,5,3]}"""));
        Assert.Equal([2, 5, 3], LlamaConfigJson.Read(config, generation).EosIds);
    }

    [Theory]
    [InlineData("""{"model_type":"gpt_neox"}""", "'gpt_neox'")]
    [InlineData("""{"model_type":null}""", "model_type")]
    [InlineData("""{"hidden_act":"gelu"}""", "'gelu'")]
    [InlineData("""{"rope_scaling":{"type":"yarn","factor":4}}""", "'yarn'")]
    [InlineData("""{"rope_scaling":{"rope_type":"dynamic","factor":4}}""", "'dynamic'")]
    [InlineData("""{"rope_scaling":{"rope_type":"longrope"}}""", "'longrope'")]
    [InlineData("""{"rope_scaling":{"type":"linear"}}""", "no 'factor'")]
    [InlineData("""{"rope_scaling":{"type":"linear","factor":0}}""", "factor is 0")]
    [InlineData("""{"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4,"original_max_position_embeddings":8192}}""", "high frequency factor is 4")]
    [InlineData("""{"rope_scaling":5}""", "'rope_scaling' is 5, it must be an object")]
    [InlineData("""{"rope_parameters":{"full_attention":{"rope_theta":1}}}""", "'full_attention'")]
    [InlineData("""{"partial_rotary_factor":0.5}""", "partial_rotary_factor 0.5")]
    [InlineData("""{"num_key_value_heads":3}""", "3 kv heads")]
    [InlineData("""{"num_key_value_heads":0}""", "number of kv heads is 0")]
    [InlineData("""{"head_dim":7}""", "head size is 7")]
    [InlineData("""{"hidden_size":63}""", "hidden_size 63")]
    [InlineData("""{"num_attention_heads":0}""", "num_attention_heads 0")]
    [InlineData("""{"num_attention_heads":"8"}""", "\"8\"")]
    [InlineData("""{"hidden_size":64.5}""", "64.5")]
    [InlineData("""{"hidden_size":-64}""", "-64")]
    [InlineData("""{"hidden_size":null}""", "no 'hidden_size'")]
    [InlineData("""{"vocab_size":2000000000}""", "vocabulary is 2000000000")]
    [InlineData("""{"vocab_size":99999999999}""", "99999999999")]
    [InlineData("""{"num_hidden_layers":1000000}""", "number of layers is 1000000")]
    [InlineData("""{"rms_norm_eps":0}""", "norm epsilon is 0")]
    [InlineData("""{"rms_norm_eps":1e999}""", "norm epsilon")]
    [InlineData("""{"eos_token_id":[2,-1]}""", "end-of-sequence id is -1")]
    [InlineData("""{"eos_token_id":"end"}""", "'eos_token_id' is \"end\"")]
    [InlineData("""{"model_type":"mixtral","num_experts_per_tok":9}""", "number of active experts is 9")]
    [InlineData("""{"quantization_config":{"quant_method":"gptq"}}""", "'gptq'")]
    [InlineData("""{"tie_word_embeddings":1}""", "'tie_word_embeddings' is 1")]
    [InlineData("""{"model_type":"qwen2","num_key_value_heads":2,"use_sliding_window":true,"max_window_layers":1}""", "1 of 2 layers")]
    public void What_is_wrong_or_not_supported_is_named(string overrides, string reason)
    {
        var e = Assert.Throws<ModelFormatException>(() => Read(overrides));
        Assert.StartsWith(_directory.File("config.json") + ": ", e.Message, StringComparison.Ordinal);
        Assert.Contains(reason, e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"a\":1,\"a\":2}")]
    [InlineData("{\"a\":\"\\ud800\"}")]
    [InlineData("{\"a\":")]
    public void What_is_no_json_object_is_refused(string text)
    {
        string path = _directory.Write("config.json", text);
        var e = Assert.Throws<ModelFormatException>(() => JsonFile.Open(path).Dispose());
        Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
    }

    private LlamaConfig Read(string overrides)
    {
        using var json = Json(overrides);
        return LlamaConfigJson.Read(json);
    }

    /// <summary>A small sound configuration with some keys replaced.</summary>
    private JsonFile Json(string overrides)
    {
        var json = JsonNode.Parse("""{"model_type":"llama","vocab_size":100,"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":8}""")!.AsObject();
        foreach (var (key, value) in JsonNode.Parse(overrides)!.AsObject()) json[key] = value?.DeepClone();
        return JsonFile.Open(_directory.Write("config.json", json.ToJsonString()));
    }
}
