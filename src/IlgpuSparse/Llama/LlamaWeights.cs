using IlgpuSparse.Compute;
using IlgpuSparse.Model;

namespace IlgpuSparse.Llama;

/// <summary>
/// All weights of a model on one backend, in the formats of the file. They can serve several decoders; on the CPU they are the mapped file itself, so the <see cref="ModelFile"/> must stay open.
/// </summary>
public sealed class LlamaWeights : IDisposable
{
    private LlamaWeights(LlamaConfig config, WeightMatrix embedding, WeightMatrix norm, WeightMatrix output, IReadOnlyList<LayerWeights> layers)
    {
        Config = config;
        Embedding = embedding;
        Norm = norm;
        Output = output;
        Layers = layers;
    }

    /// <summary>Shapes and constants.</summary>
    public LlamaConfig Config { get; }

    /// <summary>Bytes that one decoded token reads (one embedding row, of the experts only the active ones).</summary>
    public long BytesReadPerToken => Layers.Sum(l => l.ReadBytes) + Norm.ByteLength + Output.ByteLength + Embedding.ByteLength / Embedding.Rows;

    /// <summary>The formats that the matrices are in.</summary>
    internal IReadOnlyCollection<WeightFormat> Formats => [.. Layers.SelectMany(layer => layer.Matrices).Append(Embedding).Append(Output).Select(matrix => matrix.Format).Distinct()];

    internal WeightMatrix Embedding { get; }
    internal WeightMatrix Norm { get; }
    internal WeightMatrix Output { get; }
    internal IReadOnlyList<LayerWeights> Layers { get; }

    /// <summary>Loads every weight of <paramref name="model"/>; <paramref name="progress"/> is told the finished share (0 to 1).</summary>
    /// <exception cref="ModelFormatException">A tensor is absent or has another shape than the configuration asks for.</exception>
    public static LlamaWeights Load(ComputeBackend backend, ModelFile model, Action<double>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(model);
        using var reserved = backend.ReserveWeights([.. WeightPlan.Of(model.Config).Select(weight => model.Require(weight.Name, weight.Shape).ByteLength)]);
        return Build(model.Config, (name, shape) => backend.Load(model.Require(name, shape)), progress);
    }

    /// <summary>Makes every weight that a decoder of <paramref name="c"/> needs with <paramref name="make"/>, which is told the Hugging Face name and the shape.</summary>
    internal static LlamaWeights Build(LlamaConfig c, Func<string, long[], WeightMatrix> make, Action<double>? progress)
    {
        int width = c.Heads * c.HeadDim, kvWidth = c.KvHeads * c.HeadDim;
        var loaded = new List<WeightMatrix>();

        WeightMatrix Matrix(string name, long rows, long columns) => Keep(make(name, [rows, columns]));
        WeightMatrix Vector(string name, long size) => Keep(make(name, [size]));
        WeightMatrix? Bias(bool present, string name, long size) => present ? Vector(name, size) : null;
        WeightMatrix Keep(WeightMatrix weight)
        {
            loaded.Add(weight);
            return weight;
        }

        try
        {
            var embedding = Matrix("model.embed_tokens.weight", c.VocabularySize, c.HiddenSize);
            var layers = new LayerWeights[c.Layers];
            for (int i = 0; i < layers.Length; i++)
            {
                string layer = $"model.layers.{i}.", attention = layer + "self_attn.", mlp = layer + "mlp.", moe = layer + "block_sparse_moe.";
                bool experts = c.Experts > 0;
                layers[i] = new LayerWeights
                {
                    InputNorm = Vector(layer + "input_layernorm.weight", c.HiddenSize),
                    Q = Matrix(attention + "q_proj.weight", width, c.HiddenSize),
                    K = Matrix(attention + "k_proj.weight", kvWidth, c.HiddenSize),
                    V = Matrix(attention + "v_proj.weight", kvWidth, c.HiddenSize),
                    O = Matrix(attention + "o_proj.weight", c.HiddenSize, width),
                    QBias = Bias(c.QkvBias, attention + "q_proj.bias", width),
                    KBias = Bias(c.QkvBias, attention + "k_proj.bias", kvWidth),
                    VBias = Bias(c.QkvBias, attention + "v_proj.bias", kvWidth),
                    OBias = Bias(c.OutputBias, attention + "o_proj.bias", c.HiddenSize),
                    MlpNorm = Vector(layer + "post_attention_layernorm.weight", c.HiddenSize),
                    Gate = experts ? null : Matrix(mlp + "gate_proj.weight", c.IntermediateSize, c.HiddenSize),
                    Up = experts ? null : Matrix(mlp + "up_proj.weight", c.IntermediateSize, c.HiddenSize),
                    Down = experts ? null : Matrix(mlp + "down_proj.weight", c.HiddenSize, c.IntermediateSize),
                    GateBias = Bias(c.MlpBias && !experts, mlp + "gate_proj.bias", c.IntermediateSize),
                    UpBias = Bias(c.MlpBias && !experts, mlp + "up_proj.bias", c.IntermediateSize),
                    DownBias = Bias(c.MlpBias && !experts, mlp + "down_proj.bias", c.HiddenSize),
                    Router = experts ? Matrix(moe + "gate.weight", c.Experts, c.HiddenSize) : null,
                    Experts = !experts ? null : new ExpertWeights(
                        [.. Enumerable.Range(0, c.Experts).Select(e => Matrix($"{moe}experts.{e}.w1.weight", c.IntermediateSize, c.HiddenSize))],
                        [.. Enumerable.Range(0, c.Experts).Select(e => Matrix($"{moe}experts.{e}.w3.weight", c.IntermediateSize, c.HiddenSize))],
                        [.. Enumerable.Range(0, c.Experts).Select(e => Matrix($"{moe}experts.{e}.w2.weight", c.HiddenSize, c.IntermediateSize))],
                        c.ActiveExperts),
                };
                progress?.Invoke((i + 1.0) / layers.Length);
            }
            var norm = Vector("model.norm.weight", c.HiddenSize);
            var output = c.TiedEmbeddings ? embedding : Matrix("lm_head.weight", c.VocabularySize, c.HiddenSize);
            return new LlamaWeights(c, embedding, norm, output, layers);
        }
        catch
        {
            foreach (var weight in loaded) weight.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var layer in Layers) layer.Dispose();
        Norm.Dispose();
        if (!ReferenceEquals(Output, Embedding)) Output.Dispose();
        Embedding.Dispose();
    }
}
