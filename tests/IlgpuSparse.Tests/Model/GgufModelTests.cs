using System.Runtime.InteropServices;
using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Model;

/// <summary>GGUF files as models: configuration, Hugging Face names, experts, and what is refused.</summary>
public sealed class GgufModelTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void The_embedded_model_opens()
    {
        using var model = ModelFile.Open(TestFiles.Model);
        var c = model.Config;
        Assert.Equal((8, 384, 1024, 4096, 4, 2, 128, 8192), (c.Layers, c.HiddenSize, c.IntermediateSize, c.VocabularySize, c.Heads, c.KvHeads, c.HeadDim, c.MaxContext));
        Assert.Equal((100000f, RopeStyle.Interleaved, RopeScaling.None, true, 0), (c.RopeTheta, c.RopeStyle, c.RopeScaling, c.TiedEmbeddings, c.Experts));
        Assert.Equal(1, c.BosId);
        Assert.Equal([2], c.EosIds);
        Assert.Equal(WeightFormat.Q8_0, model.Require("model.layers.7.self_attn.q_proj.weight", 512, 384).Format);
        Assert.Equal(WeightFormat.F32, model.Require("model.norm.weight", 384).Format);
        Assert.Null(model.Find("lm_head.weight"));
        Assert.Equal(2 + 8 * 9, model.Tensors.Count);
        Assert.Equal(16, model.Fingerprint.Length);
        Assert.Equal(4096, model.Tokenizer!.Tokens.Count);
    }

    [Theory]
    [InlineData(WeightFormat.F32)]
    [InlineData(WeightFormat.F16)]
    [InlineData(WeightFormat.BF16)]
    [InlineData(WeightFormat.Q8_0)]
    [InlineData(WeightFormat.Q4_0)]
    [InlineData(WeightFormat.Q4_1)]
    public void A_small_llama_opens_in_every_format(WeightFormat format)
    {
        using var model = Open(TinyGguf.Llama(format));
        Assert.Equal((2, 64, 4, 2, 16, 10, "llama"), (model.Config.Layers, model.Config.HiddenSize, model.Config.Heads, model.Config.KvHeads, model.Config.HeadDim, model.Config.VocabularySize, model.Config.ModelType));
        Assert.False(model.Config.TiedEmbeddings);
        foreach (var (name, shape) in WeightPlan.Of(model.Config).Where(w => w.Shape.Length == 2)) Assert.Equal(format, model.Require(name, shape).Format);
        Assert.Equal("blk.1.ffn_down.weight", model.Find("model.layers.1.mlp.down_proj.weight")!.Name);
    }

    [Fact]
    public void Qwen2_has_biases_and_the_other_rope_style()
    {
        using var model = Open(TinyGguf.Llama(arch: "qwen2"));
        Assert.Equal(("qwen2", RopeStyle.HalfSplit, true, false), (model.Config.ModelType, model.Config.RopeStyle, model.Config.QkvBias, model.Config.OutputBias));
        Assert.Equal("blk.0.attn_k.bias", model.Require("model.layers.0.self_attn.k_proj.bias", 32).Name);
    }

    [Fact]
    public unsafe void Experts_are_found_one_by_one_in_both_forms()
    {
        using var stacked = Open(TinyGguf.Llama(experts: 3), "stacked.gguf");
        using var single = Open(TinyGguf.Llama(experts: 3, stacked: false), "single.gguf");
        Assert.Equal(("mixtral", 3, 2), (stacked.Config.ModelType, stacked.Config.Experts, stacked.Config.ActiveExperts));
        Assert.Equal((3, 2), (single.Config.Experts, single.Config.ActiveExperts));
        var stack = stacked.Tensors.Single(t => t.Name == "blk.1.ffn_down_exps.weight");
        for (int e = 0; e < 3; e++)
        {
            var slice = stacked.Require($"model.layers.1.block_sparse_moe.experts.{e}.w2.weight", 64, 96);
            Assert.Equal(stack.ByteLength / 3, slice.ByteLength);
            Assert.Equal(e * slice.ByteLength, slice.Data - stack.Data);
            Assert.Equal($"blk.1.ffn_up.{e}.weight", single.Require($"model.layers.1.block_sparse_moe.experts.{e}.w3.weight", 96, 64).Name);
            Assert.Equal($"blk.1.ffn_gate.{e}.weight", single.Require($"model.layers.1.block_sparse_moe.experts.{e}.w1.weight", 96, 64).Name);
        }
        Assert.Contains("stack of 4 experts", Refused(TinyGguf.Llama(experts: 3).Replace("llama.expert_count", 4u)));
    }

    [Fact]
    public void Explicit_head_size_window_and_biases_are_read()
    {
        var writer = TinyGguf.Llama().Set("llama.attention.key_length", 16u).Set("llama.attention.value_length", 16u).Set("llama.rope.dimension_count", 16u)
            .Set("llama.attention.sliding_window", 128u).Set("llama.vocab_size", 10u)
            .Replace("llama.attention.head_count_kv", new[] { 2, 2 });
        for (int i = 0; i < 2; i++) writer.Tensor($"blk.{i}.attn_output.bias", WeightFormat.F32, 64);
        using var model = Open(writer);
        Assert.Equal((128, true, false, 2), (model.Config.SlidingWindow, model.Config.OutputBias, model.Config.QkvBias, model.Config.KvHeads));
    }

    [Theory]
    [InlineData("type", "linear", RopeScalingKind.Linear)]
    [InlineData("type", "none", RopeScalingKind.None)]
    [InlineData(null, null, RopeScalingKind.Linear)]
    public void Rope_scaling_is_read(string? key, string? value, RopeScalingKind expected)
    {
        var writer = TinyGguf.Llama().Set("llama.rope.scaling.factor", 4f);
        if (key is not null) writer.Set($"llama.rope.scaling.{key}", value!);
        using var model = Open(writer);
        Assert.Equal(expected == RopeScalingKind.None ? RopeScaling.None : new RopeScaling(expected, 4), model.Config.RopeScaling);
    }

    [Fact]
    public void Rope_factors_of_a_file_equal_the_formula_they_were_made_with()
    {
        var plain = new LlamaConfig { ModelType = "llama", VocabularySize = 10, HiddenSize = 64, IntermediateSize = 96, Layers = 1, Heads = 4, KvHeads = 2, HeadDim = 16, MaxContext = 131072, NormEpsilon = 1e-5f, RopeTheta = 500000 };
        float[] frequencies = RopeTable.Frequencies(plain);
        float[] scaled = RopeTable.Frequencies(plain with { RopeScaling = new RopeScaling(RopeScalingKind.Llama3, 8, 1, 4, 8192) });
        float[] factors = [.. frequencies.Zip(scaled, (f, s) => f / s)];
        Assert.Equal(8f, factors[^1], 1e-4f);
        using var model = Open(TinyGguf.Llama().Tensor("rope_freqs.weight", 0, [8], MemoryMarshal.AsBytes<float>(factors).ToArray()));
        float[] read = RopeTable.Frequencies(model.Config);
        for (int i = 0; i < scaled.Length; i++) Assert.Equal(scaled[i], read[i], scaled[i] * 1e-6f);
        Assert.Contains("rope_freqs.weight", Refused(TinyGguf.Llama().Tensor("rope_freqs.weight", WeightFormat.F32, 7)));
        Assert.Contains("rope frequency factor", Refused(TinyGguf.Llama().Tensor("rope_freqs.weight", 0, [8], new byte[32])));
    }

    [Fact]
    public void What_is_not_supported_is_refused_by_name()
    {
        Assert.Contains("'gemma3'", Refused(TinyGguf.Llama(arch: "gemma3")));
        Assert.Contains("'yarn'", Refused(TinyGguf.Llama().Set("llama.rope.scaling.type", "yarn")));
        Assert.Contains("'llama.rope.dimension_count' is 8", Refused(TinyGguf.Llama().Set("llama.rope.dimension_count", 8u)));
        Assert.Contains("'llama.attention.value_length' is 32", Refused(TinyGguf.Llama().Set("llama.attention.value_length", 32u)));
        Assert.Contains("differs from layer to layer", Refused(TinyGguf.Llama().Replace("llama.feed_forward_length", new[] { 96u, 64u })));
        Assert.Contains("parts of a model", Refused(TinyGguf.Llama().Set("split.count", (ushort)3)));
        Assert.Contains("'llama.logit_scale' is 0.5", Refused(TinyGguf.Llama().Set("llama.logit_scale", 0.5f)));
    }

    [Fact]
    public void Contradictions_are_refused()
    {
        foreach (string key in new[] { "general.architecture", "llama.embedding_length", "llama.block_count", "llama.context_length", "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon" })
            Assert.Contains($"'{key}'", Refused(TinyGguf.Llama().Remove(key)));
        Assert.Contains("no tensor for 'model.layers.1.mlp.up_proj.weight'", Refused(TinyGguf.Llama().RemoveTensor("blk.1.ffn_up.weight")));
        Assert.Contains("no tensor for 'model.layers.2.", Refused(TinyGguf.Llama().Replace("llama.block_count", 3u)));
        Assert.Contains("'blk.0.ffn_gate.weight' has shape [96, 64], the configuration asks for [128, 64]", Refused(TinyGguf.Llama().Replace("llama.feed_forward_length", 128u)));
        Assert.Contains("'token_embd.weight' has shape [10, 64]", Refused(TinyGguf.Llama().Remove("tokenizer.ggml.tokens").Set("llama.vocab_size", 11u)));
        Assert.Contains("'llama.vocab_size' is 11", Refused(TinyGguf.Llama().Set("llama.vocab_size", 11u)));
        Assert.Contains("has neither", Refused(TinyGguf.Llama().Remove("tokenizer.ggml.tokens")));
        Assert.Contains("3 kv heads", Refused(TinyGguf.Llama().Replace("llama.attention.head_count_kv", 3u)));
        Assert.Contains("number of kv heads is 0", Refused(TinyGguf.Llama().Replace("llama.attention.head_count_kv", 0u)));
        Assert.Contains("4000000000", Refused(TinyGguf.Llama().Replace("llama.block_count", 4000000000u)));
        Assert.Contains("number of layers is 100000", Refused(TinyGguf.Llama().Replace("llama.block_count", 100000u)));
        Assert.Contains("norm epsilon", Refused(TinyGguf.Llama().Replace("llama.attention.layer_norm_rms_epsilon", float.NaN)));
        Assert.Contains("end-of-sequence id is 10", Refused(TinyGguf.Llama().Set("tokenizer.ggml.eos_token_id", 10u)));
        Assert.Contains("norms and biases", Refused(TinyGguf.Llama().RemoveTensor("output_norm.weight").Tensor("output_norm.weight", WeightFormat.Q8_0, 64)));
    }

    [Fact]
    public void Fingerprints_tell_weights_apart_and_nothing_else()
    {
        using var one = Open(TinyGguf.Llama(), "one.gguf");
        using var renamed = Open(TinyGguf.Llama().Set("general.name", "other"), "two.gguf");
        using var other = Open(TinyGguf.Llama().RemoveTensor("output_norm.weight").Tensor("output_norm.weight", 0, [64], new byte[256]), "three.gguf");
        using var format = Open(TinyGguf.Llama(WeightFormat.F16), "four.gguf");
        Assert.Equal(one.Fingerprint, renamed.Fingerprint);
        Assert.Equal(3, new[] { one.Fingerprint, other.Fingerprint, format.Fingerprint }.Distinct().Count());
    }

    [Fact]
    public void A_path_to_nothing_says_so() => Assert.Throws<FileNotFoundException>(() => ModelFile.Open(_directory.File("nothing.gguf")));

    private ModelFile Open(GgufWriter writer, string name = "test.gguf") => ModelFile.Open(_directory.Write(name, writer.ToArray()));

    private string Refused(GgufWriter writer)
    {
        var e = Assert.Throws<ModelFormatException>(() => Open(writer).Dispose());
        Assert.StartsWith(_directory.File("test.gguf") + ": ", e.Message, StringComparison.Ordinal);
        return e.Message;
    }
}
