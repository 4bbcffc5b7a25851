using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;

namespace IlgpuSparse.Tests.Reference;

/// <summary>
/// A whole Llama in double precision, as the formulas say it: the embedded model's kind, with interleaved RoPE, without biases, experts, scaling or window. Only weights are rounded, as the file has them.
/// </summary>
internal sealed class ReferenceDecoder(ModelFile model)
{
    private readonly LlamaConfig _config = model.Config;

    /// <summary>Logits after each of <paramref name="ids"/>.</summary>
    public double[][] Logits(ReadOnlySpan<int> ids)
    {
        var c = _config;
        double[] embedding = Weights("model.embed_tokens.weight");
        var x = new double[ids.Length][];
        for (int t = 0; t < ids.Length; t++) x[t] = embedding[(ids[t] * c.HiddenSize)..((ids[t] + 1) * c.HiddenSize)];
        for (int layer = 0; layer < c.Layers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            double[][] z = Norm(x, prefix + "input_layernorm.weight");
            double[][] q = Product(z, prefix + "self_attn.q_proj.weight"), k = Product(z, prefix + "self_attn.k_proj.weight"), v = Product(z, prefix + "self_attn.v_proj.weight");
            for (int t = 0; t < x.Length; t++)
            {
                Rotate(q[t], t);
                Rotate(k[t], t);
            }
            Add(x, Product([.. Enumerable.Range(0, x.Length).Select(t => Attend(q[t], k, v, t))], prefix + "self_attn.o_proj.weight"));

            z = Norm(x, prefix + "post_attention_layernorm.weight");
            double[][] gate = Product(z, prefix + "mlp.gate_proj.weight"), up = Product(z, prefix + "mlp.up_proj.weight");
            foreach (var (g, u) in gate.Zip(up))
                for (int i = 0; i < g.Length; i++) g[i] = g[i] / (1 + Math.Exp(-g[i])) * u[i];
            Add(x, Product(gate, prefix + "mlp.down_proj.weight"));
        }
        return Product(Norm(x, "model.norm.weight"), c.TiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    }

    private double[] Attend(double[] q, double[][] k, double[][] v, int position)
    {
        var c = _config;
        var y = new double[q.Length];
        for (int head = 0; head < c.Heads; head++)
        {
            int at = head * c.HeadDim, kvAt = head / c.GroupSize * c.HeadDim;
            var weights = new double[position + 1];
            for (int t = 0; t <= position; t++)
            {
                double dot = 0;
                for (int i = 0; i < c.HeadDim; i++) dot += q[at + i] * k[t][kvAt + i];
                weights[t] = dot / Math.Sqrt(c.HeadDim);
            }
            double largest = weights.Max(), sum = weights.Sum(w => Math.Exp(w - largest));
            for (int t = 0; t <= position; t++)
                for (int i = 0; i < c.HeadDim; i++) y[at + i] += Math.Exp(weights[t] - largest) / sum * v[t][kvAt + i];
        }
        return y;
    }

    private void Rotate(double[] heads, int position)
    {
        for (int i = 0; i < heads.Length; i += 2)
        {
            var (sin, cos) = Math.SinCos(position * Math.Pow(_config.RopeTheta, -(double)(i % _config.HeadDim) / _config.HeadDim));
            (heads[i], heads[i + 1]) = (heads[i] * cos - heads[i + 1] * sin, heads[i + 1] * cos + heads[i] * sin);
        }
    }

    private double[][] Norm(double[][] x, string name)
    {
        double[] weight = Weights(name);
        return [.. x.Select(row =>
        {
            double scale = 1 / Math.Sqrt(row.Sum(v => v * v) / row.Length + _config.NormEpsilon);
            return row.Select((v, i) => v * scale * weight[i]).ToArray();
        })];
    }

    private double[][] Product(double[][] x, string name)
    {
        double[] weight = Weights(name);
        int columns = x[0].Length, outputs = weight.Length / columns;
        var y = x.Select(_ => new double[outputs]).ToArray();
        Parallel.For(0, outputs, output =>
        {
            for (int row = 0; row < x.Length; row++)
            {
                double sum = 0;
                for (int i = 0; i < columns; i++) sum += weight[output * columns + i] * x[row][i];
                y[row][output] = sum;
            }
        });
        return y;
    }

    private static void Add(double[][] x, double[][] y)
    {
        foreach (var (a, b) in x.Zip(y))
            for (int i = 0; i < a.Length; i++) a[i] += b[i];
    }

    private unsafe double[] Weights(string name)
    {
        var tensor = model.Find(name)!;
        int block = tensor.Format.BlockElements(), bytes = tensor.Format.BlockBytes();
        var values = new double[tensor.ByteLength / bytes * block];
        var data = new ReadOnlySpan<byte>(tensor.Data, (int)tensor.ByteLength);
        for (int i = 0; i < values.Length / block; i++) RandomWeights.Decode(tensor.Format, data.Slice(i * bytes, bytes), values.AsSpan(i * block, block));
        return values;
    }
}
