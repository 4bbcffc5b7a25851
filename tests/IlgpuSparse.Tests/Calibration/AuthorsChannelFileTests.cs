using System.Text.Json;
using System.Text.Json.Nodes;
using IlgpuSparse.Calibration;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Llama;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>The channel configurations that the authors publish: first two layers of three models.</summary>
public class AuthorsChannelFileTests
{
    private static string PathOf(string model) => TestFiles.Data("channel-files", $"{model}.first-2-layers.json");

    private static LlamaConfig Config(int kvHeads, int heads = 32, int layers = 2, int headDim = 128, RopeStyle style = RopeStyle.HalfSplit) =>
        SmallConfig.Of(heads, kvHeads, headDim, 8, layers) with { RopeStyle = style };

    private static int[][] Rows(string model, string key)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(PathOf(model)));
        return json.RootElement.GetProperty(key).Deserialize<int[][]>()!;
    }

    [Theory]
    [InlineData("llama-2-7b", 32)]
    [InlineData("llama-3.1-8b", 8)]
    [InlineData("mistral-7b", 8)]
    public void The_papers_ranking_is_read_for_every_model(string model, int kvHeads)
    {
        var map = AuthorsChannelFile.Load(PathOf(model), Config(kvHeads));
        Assert.Equal(("qk", 2, kvHeads, 128, false), (map.Statistic, map.Layers, map.KvHeads, map.HeadDim, map.HasScales));
        Assert.Null(map.Fingerprint);
        map.CheckFits(Config(kvHeads));
        for (int layer = 0; layer < 2; layer++)
        {
            int[][] rows = Rows(model, $"model.layers.{layer}.self_attn.qk_proj");
            int group = rows.Length / kvHeads;
            for (int head = 0; head < kvHeads; head++)
            {
                // ranks summed over the group; with one head a group that is the file's own order
                var expected = Enumerable.Range(0, 128).OrderBy(c => Enumerable.Range(0, group).Sum(g => Array.IndexOf(rows[head * group + g], c))).ThenBy(c => c);
                Assert.Equal(expected, map[layer, head].Ranking);
            }
        }
        if (kvHeads == 32) Assert.Equal(Rows(model, "model.layers.1.self_attn.qk_proj")[5], map[1, 5].Ranking);
    }

    [Fact]
    public void Keys_are_ranked_a_kv_head_and_absent_where_the_file_has_none()
    {
        var map = AuthorsChannelFile.Load(PathOf("llama-3.1-8b"), Config(8), "k");
        int[][] rows = Rows("llama-3.1-8b", "model.layers.1.self_attn.k_proj");
        for (int head = 0; head < 8; head++) Assert.Equal(rows[head], map[1, head].Ranking);
        var e = Assert.Throws<ModelFormatException>(() => AuthorsChannelFile.Load(PathOf("mistral-7b"), Config(8), "k"));
        Assert.Contains("model.layers.0.self_attn.k_proj", e.Message, StringComparison.Ordinal);
    }

    /// <summary>Files for interleaved rotary pairs hold the pair (c, c + d/2) at 2c and 2c + 1.</summary>
    [Fact]
    public void Channels_are_renumbered_for_interleaved_files()
    {
        var half = AuthorsChannelFile.Load(PathOf("llama-2-7b"), Config(32));
        var interleaved = AuthorsChannelFile.Load(PathOf("llama-2-7b"), Config(32, style: RopeStyle.Interleaved));
        Assert.Equal(RopeStyle.Interleaved, interleaved.RopeStyle);
        Assert.Equal(half[0, 3].Ranking.Select(c => c < 64 ? 2 * c : 2 * (c - 64) + 1), interleaved[0, 3].Ranking);
    }

    [Fact]
    public void Other_sizes_and_damage_are_refused_with_the_place()
    {
        string path = PathOf("llama-3.1-8b");
        Refused("the model has 3 layers", path, Config(8, layers: 3));
        Refused("32 heads", path, Config(4, heads: 16));
        Refused("64 channels", path, Config(8, headDim: 64));

        using var directory = new TemporaryDirectory();
        Damaged("is not JSON", _ => "{");
        Damaged("no object", _ => "[]");
        Damaged("none of", _ => "{}");
        Damaged("repeated", Change(json => json["model.layers.1.self_attn.qk_proj"]![2]![7] = json["model.layers.1.self_attn.qk_proj"]![2]![8]!.GetValue<int>()));
        Damaged("no channel from 0 to 127", Change(json => json["model.layers.1.self_attn.qk_proj"]![2]![7] = 128));
        Damaged("no channel from 0 to 127", Change(json => json["model.layers.1.self_attn.qk_proj"]![2]![7] = 1.5));
        Damaged("a ranking of 128 channels", Change(json => json["model.layers.1.self_attn.qk_proj"]![2] = "x"));
        Damaged("model.layers.1.self_attn.qk_proj", Change(json => json["model.layers.1.self_attn.qk_proj"] = 3));

        void Damaged(string part, Func<string, string> change) => Refused(part, directory.Write("map.json", change(File.ReadAllText(path))), Config(8));
        static Func<string, string> Change(Action<JsonNode> edit) => text =>
        {
            var json = JsonNode.Parse(text)!;
            edit(json);
            return json.ToJsonString();
        };
        static void Refused(string part, string path, LlamaConfig config)
        {
            var e = Assert.Throws<ModelFormatException>(() => AuthorsChannelFile.Load(path, config));
            Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
            Assert.Contains(part, e.Message, StringComparison.Ordinal);
        }
    }
}
