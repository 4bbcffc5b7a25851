using IlgpuSparse.Model;

namespace IlgpuSparse.Calibration;

/// <summary>Channel maps on disk: where they lie beside a model, and both formats they come in.</summary>
public static class ChannelMapFile
{
    /// <summary>Where the map of the model at <paramref name="modelPath"/> lies: beside it, its name with <c>.channels.json</c>; in a directory, <c>model.channels.json</c>.</summary>
    public static string PathFor(string modelPath) => Directory.Exists(modelPath) ? Path.Combine(modelPath, "model.channels.json") : Path.ChangeExtension(modelPath, ".channels.json");

    /// <summary>As <see cref="PathFor"/>; null when there is none.</summary>
    public static string? Find(string modelPath) => PathFor(modelPath) is var path && File.Exists(path) ? path : null;

    /// <summary>What is said where a model has no map and its texts get their own.</summary>
    public static string WithoutMap(string modelPath) => $"there is no channel map beside the model: every text makes its own from its prompt (map=online); 'ilgpusparse calibrate --model {modelPath}' makes one for all";

    /// <summary>Reads a map for <paramref name="model"/>: our own format, or the Double Sparsity authors' JSON, told apart by their first key.</summary>
    /// <exception cref="ModelFormatException">Neither, damaged, or of another model.</exception>
    public static ChannelMap Load(string path, ModelFile model)
    {
        var map = ChannelMap.Read(path, model.Config);
        map.CheckModel(model.Fingerprint);
        return map;
    }
}
