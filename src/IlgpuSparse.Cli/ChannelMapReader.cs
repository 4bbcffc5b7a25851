using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary>Reads a channel map for a model: our own format, or the Double Sparsity authors' JSON.</summary>
internal static class ChannelMapReader
{
    /// <summary>As <see cref="ChannelMap.Read"/>, and checks that the map is of this model.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of another model.</exception>
    public static ChannelMap Read(string path, ModelFile model)
    {
        var map = ChannelMap.Read(path, model.Config);
        map.CheckModel(model.Fingerprint);
        return map;
    }
}
