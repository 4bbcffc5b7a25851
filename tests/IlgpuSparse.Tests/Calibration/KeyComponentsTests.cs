using IlgpuSparse.Calibration;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Compute;
using IlgpuSparse.Tests.Llama;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>Principal components by what defines them, and their file.</summary>
public sealed class KeyComponentsTests
{
    private const int HeadDim = 24, KvHeads = 2, Layers = 2, Tokens = 211;

    private readonly int _seed = Random.Shared.Next();

    [Fact]
    public void Components_are_orthonormal_uncorrelated_and_fall_in_variance()
    {
        var (components, keys) = Make();
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int head = 0; head < KvHeads; head++)
            {
                double[][] basis = [.. Enumerable.Range(0, HeadDim).Select(i => components[layer, head].Slice(i * HeadDim, HeadDim).ToArray().Select(x => (double)x).ToArray())];
                double[][] parts = [.. basis.Select(b => Enumerable.Range(0, Tokens).Select(t => Enumerable.Range(0, HeadDim).Sum(c => b[c] * keys[layer][(t * KvHeads + head) * HeadDim + c])).ToArray())];
                double[][] centred = [.. parts.Select(p => p.Select(x => x - p.Average()).ToArray())];
                double[] variances = [.. centred.Select(p => p.Average(x => x * x))];
                Assert.Equal(variances.OrderDescending(), variances);
                for (int a = 0; a < HeadDim; a++)
                {
                    for (int b = 0; b < HeadDim; b++)
                    {
                        Assert.True(Math.Abs(basis[a].Zip(basis[b], (x, y) => x * y).Sum() - (a == b ? 1 : 0)) < 1e-5, $"seed {_seed}");
                        if (a != b) Assert.True(Math.Abs(centred[a].Zip(centred[b], (x, y) => x * y).Average()) < 1e-5 * variances[0], $"seed {_seed}");
                    }
                }
            }
        }
    }

    [Fact]
    public void The_file_gives_back_what_was_saved_and_a_damaged_one_is_refused_by_name()
    {
        using var directory = new TemporaryDirectory();
        string path = Path.Combine(directory.Path, "components.json");
        var (components, _) = Make();
        components.Save(path);
        var read = KeyComponents.Load(path);
        Assert.Equal("print", read.Fingerprint);
        for (int layer = 0; layer < Layers; layer++)
            for (int head = 0; head < KvHeads; head++) Assert.Equal(components[layer, head].ToArray(), read[layer, head].ToArray());
        read.CheckFits(Config());
        Assert.Contains(path, Assert.Throws<ModelFormatException>(() => read.CheckFits(Config() with { KvHeads = 1 })).Message);

        string text = File.ReadAllText(path);
        foreach (string damaged in new[] { "", "null", "{}", text[..^20], text.Replace("\"version\":1", "\"version\":7"), text.Replace($"\"headDim\":{HeadDim}", "\"headDim\":25"), text.Replace($"\"headDim\":{HeadDim}", "\"headDim\":-1"), text.Replace("[[[", "[[[3,"), text.Replace("]]]", "]],[]]") })
        {
            File.WriteAllText(path, damaged);
            Assert.Contains(path, Assert.Throws<ModelFormatException>(() => KeyComponents.Load(path)).Message);
        }
    }

    [Fact]
    public void Nothing_has_no_components() => Assert.Throws<InvalidOperationException>(() => new KeyCovariance(Config()).Components(null));

    private static LlamaConfig Config() => SmallConfig.Of(4, KvHeads, HeadDim, 1024, Layers);

    // Channels that lean on one another, with means of their own.
    private (KeyComponents Components, float[][] Keys) Make()
    {
        var random = new Random(_seed);
        var covariance = new KeyCovariance(Config());
        var keys = new float[Layers][];
        for (int layer = 0; layer < Layers; layer++)
        {
            float[] mix = RandomWeights.Normals(random, HeadDim * HeadDim), noise = RandomWeights.Normals(random, Tokens * KvHeads * HeadDim);
            keys[layer] = new float[noise.Length];
            for (int i = 0; i < noise.Length; i++)
            {
                int row = i / HeadDim * HeadDim, c = i % HeadDim;
                keys[layer][i] = c;
                for (int j = 0; j < HeadDim; j++) keys[layer][i] += mix[c * HeadDim + j] * noise[row + j];
            }
            covariance.Add(layer, 100, keys[layer].AsSpan(0, 100 * KvHeads * HeadDim));
            covariance.Add(layer, Tokens - 100, keys[layer].AsSpan(100 * KvHeads * HeadDim));
        }
        Assert.Equal(Tokens, covariance.Tokens);
        return (covariance.Components("print"), keys);
    }
}
