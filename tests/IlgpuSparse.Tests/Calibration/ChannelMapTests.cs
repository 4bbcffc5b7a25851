using System.Text.Json.Nodes;
using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Model;
using IlgpuSparse.Tests.Model;

namespace IlgpuSparse.Tests.Calibration;

/// <summary>The project's own channel files.</summary>
public class ChannelMapTests
{
    private static ChannelMap Map(bool scales = true) => new("test", "variance", 4, RopeStyle.Interleaved, "0011223344556677",
        [.. Enumerable.Range(0, 2).Select(_ => (HeadChannels[])[Head(scales), Head(scales), Head(scales)])]);

    private static HeadChannels Head(bool scales) => scales ? new([2, 0, 3, 1], [0.1f, 0.2f, 0.3f, 0.4f], [1f, -2f, 0f, 3.5f], [0f, 1f, 2f, 0.25f],
        new LabelBasis([3, 1], [0, 0.5f], [1, 2], LabelBasis.Pack([[1, 2, 3, 4], [5, 6, 7, 8]]), LabelBasis.Pack([[1, 0, 0, 0], [0, 1, 0, -0.5f]])), [new LabelPlan(LabelKind.Rotated, 7, [4, 3])],
        [.. TokenSplit.Shares.Select(s => (float)Math.Sqrt(s))]) : new([2, 0, 3, 1]);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_is_saved_is_read_again(bool scales)
    {
        using var directory = new TemporaryDirectory();
        string path = directory.File("map.json");
        Map(scales).Save(path);
        Assert.Equal([path], Directory.GetFiles(directory.Path)); // nothing half-written beside it
        var map = ChannelMap.Load(path);
        Assert.Equal((path, "variance", 4, RopeStyle.Interleaved, "0011223344556677", 2, 3, scales), (map.Source, map.Statistic, map.HeadDim, map.RopeStyle, map.Fingerprint, map.Layers, map.KvHeads, map.HasScales));
        var expected = Head(scales);
        for (int head = 0; head < 3; head++)
        {
            Assert.Equal(expected.Held, map[1, head].Held);
            Assert.Equal(expected.Ranking, map[1, head].Ranking);
            Assert.Equal(expected.Scores, map[1, head].Scores);
            Assert.Equal(expected.Mean, map[1, head].Mean);
            Assert.Equal(expected.Deviation, map[1, head].Deviation);
            Assert.Equal(scales, map[1, head].Basis is not null);
            if (!scales) continue;
            Assert.Equal(expected.Basis!.Weight, map[1, head].Basis!.Weight);
            Assert.Equal([0, 1, 0, -0.5f], map[1, head].Basis!.Query(1));
            Assert.Equal([1, 2, 3, 4], map[1, head].Basis!.Key(0));
            Assert.Equal(LabelKind.Rotated, Assert.Single(map[1, head].Plans!).Kind);
            Assert.Equal([4, 3], map[1, head].Allocate(LabelKind.Rotated, 7));
            Assert.Equal([3, 3], map[1, head].Allocate(LabelKind.Rotated, 6));
        }
    }

    [Fact]
    public void Recall_a_layer_ahead_is_kept_by_labels_and_maps_without_it_are_read()
    {
        using var directory = new TemporaryDirectory();
        string path = directory.File("map.json");
        Map().With([new PredictionRecall("double-sparsity:tokens=1/16", [0, 0.75f]), new PredictionRecall("double-sparsity:tokens=1/64,label=rotated,label-bits=64", [0, 0.5f])]).Save(path);
        var map = ChannelMap.Load(path);
        Assert.Equal([0, 0.75f], map.PredictionOf(AttentionOptions.Parse("double-sparsity:tokens=1/32"))!.Recall);
        Assert.Equal([0, 0.5f], map.PredictionOf(AttentionOptions.Parse("double-sparsity:label=rotated,label-bits=64"))!.Recall);
        // of labels that were not measured, the first
        Assert.Equal([0, 0.75f], map.PredictionOf(AttentionOptions.Parse("double-sparsity:channels=8"))!.Recall);
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        json["predictions"]![0]!["recall"]![1] = 1.5;
        File.WriteAllText(path, json.ToJsonString());
        Assert.Contains("predictions", Assert.Throws<ModelFormatException>(() => ChannelMap.Load(path)).Message, StringComparison.Ordinal);
        json.AsObject().Remove("predictions");
        File.WriteAllText(path, json.ToJsonString());
        Assert.Null(ChannelMap.Load(path).PredictionOf(AttentionOptions.DoubleSparsity));
    }

    [Fact]
    public void The_map_that_ships_belongs_to_the_model_that_ships()
    {
        using var model = ModelFile.Open(TestFiles.Model);
        var map = ChannelMap.Load(Path.ChangeExtension(TestFiles.Model, ".channels.json"));
        map.CheckFits(model.Config);
        map.CheckModel(model.Fingerprint);
        Assert.Equal(("variance", true, model.Fingerprint), (map.Statistic, map.HasScales, map.Fingerprint));
        Assert.True(map.HasBases);
        Assert.True(map.HasHeld);
        Assert.Throws<ModelFormatException>(() => map.CheckModel("0011223344556677"));
        Assert.Contains("layers", Assert.Throws<ModelFormatException>(() => map.CheckFits(model.Config with { Layers = 9 })).Message, StringComparison.Ordinal);
        Assert.Contains("rotary", Assert.Throws<ModelFormatException>(() => map.CheckFits(model.Config with { RopeStyle = RopeStyle.HalfSplit })).Message, StringComparison.Ordinal);
    }

    /// <summary>Version 2 had budgets of layers in place of held mass: they are passed over.</summary>
    [Fact]
    public void A_map_of_version_2_is_read()
    {
        using var directory = new TemporaryDirectory();
        string path = directory.File("map.json");
        Map().Save(path);
        var json = JsonNode.Parse(File.ReadAllText(path))!;
        json["version"] = 2;
        json["layerBudgets"] = new JsonArray(0.5f, 1.5f);
        foreach (var layer in json["heads"]!.AsArray())
            foreach (var head in layer!.AsArray()) head!.AsObject().Remove("held");
        File.WriteAllText(path, json.ToJsonString());
        var map = ChannelMap.Load(path);
        Assert.Equal((true, true, false), (map.HasScales, map.HasBases, map.HasHeld));
    }

    [Fact]
    public void Damage_is_refused_with_its_place()
    {
        using var directory = new TemporaryDirectory();
        string path = directory.File("map.json");
        Map().Save(path);
        string text = File.ReadAllText(path);
        Refused("version 4", j => j["version"] = 4);
        Refused("held mass must be there", j => j["heads"]![1]![2]!.AsObject().Remove("held"));
        Refused("16 numbers from 0 to 1", j => j["heads"]![1]![2]!["held"]!.AsArray().RemoveAt(0));
        Refused("16 numbers from 0 to 1", j => j["heads"]![1]![2]!["held"]![3] = 2);
        Refused("for all heads or for none", j => j["heads"]![1]![2]!.AsObject().Remove("basis"));
        Refused("2 finite numbers", j => j["heads"]![1]![2]!["basis"]!["weight"]!.AsArray().RemoveAt(0));
        Refused("weight or deviation is negative", j => j["heads"]![1]![2]!["basis"]!["weight"]![0] = -1);
        Refused("bytes of directions", j => j["heads"]![1]![2]!["basis"]!["keys"] = "AAAA");
        Refused("lacks a part", j => j["heads"]![1]![2]!["basis"]!["queries"] = null);
        Refused("a plan of 8 bits", j => j["heads"]![1]![2]!["plans"]![0]!["bits"] = 8);
        Refused("a plan of 7 bits", j => j["heads"]![1]![2]!["plans"]![0]!["allocation"]![0] = 9);
        Refused("nothing for", j => j["heads"]![1]![2]!["plans"]![0]!["kind"] = "Channels");
        Refused("is not a channel map", j => j.AsObject().Remove("heads"));
        Refused("is not a channel map", j => j["ropeStyle"] = "Sideways");
        Refused("without channels", j => j["heads"] = new JsonArray());
        Refused("without channels", j => j["heads"]![1] = null);
        Refused("without channels", j => j["heads"]![1]![2] = null);
        Refused("without channels", j => j["heads"]![1]![2]!["ranking"] = null);
        Refused("layer 1 has 2 kv heads", j => j["heads"]![1]!.AsArray().RemoveAt(0));
        Refused("layer 1 kv head 2: channel 2 is repeated", j => j["heads"]![1]![2]!["ranking"]![1] = 2);
        Refused("channel 4 is", j => j["heads"]![1]![2]!["ranking"]![1] = 4);
        Refused("ranks 3 channels of 4", j => j["heads"]![1]![2]!["ranking"]!.AsArray().RemoveAt(0));
        Refused("for all heads or for none", j => j["heads"]![1]![2]!.AsObject().Remove("mean"));
        Refused("4 finite numbers", j => j["heads"]![1]![2]!["mean"]!.AsArray().RemoveAt(0));
        Refused("4 finite numbers", j => j["heads"]![1]![2]!["deviation"]![0] = 1e300);
        Refused("negative", j => j["heads"]![1]![2]!["deviation"]![0] = -1);
        Refused("head size", j => j["headDim"] = 0);
        foreach (string other in new[] { "", "null", "[]", "{", "\"text\"" })
        {
            File.WriteAllText(path, other);
            Assert.StartsWith(path + ": ", Assert.Throws<ModelFormatException>(() => ChannelMap.Load(path)).Message, StringComparison.Ordinal);
        }

        void Refused(string part, Action<JsonNode> change)
        {
            var json = JsonNode.Parse(text)!;
            change(json);
            File.WriteAllText(path, json.ToJsonString());
            var e = Assert.Throws<ModelFormatException>(() => ChannelMap.Load(path));
            Assert.StartsWith(path + ": ", e.Message, StringComparison.Ordinal);
            Assert.Contains(part, e.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>Whatever is done to a file: a map, or one kind of exception.</summary>
    [Fact]
    public void Damaged_at_random_it_is_read_or_refused()
    {
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        using var directory = new TemporaryDirectory();
        string path = directory.File("map.json");
        Map().Save(path);
        byte[] whole = File.ReadAllBytes(path);
        for (int i = 0; i < 2000; i++)
        {
            File.WriteAllBytes(path, Mutation.Of(whole, whole.Length, random));
            try
            {
                ChannelMap.Load(path);
            }
            catch (ModelFormatException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, round {i}: {e}");
            }
        }
    }
}
