using System.Text;
using IlgpuSparse.Calibration;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary>Reads a channel map for a model: our own format, or the Double Sparsity authors' JSON.</summary>
internal static class ChannelMapReader
{
    /// <summary>Tells the formats apart by their first key.</summary>
    /// <exception cref="ModelFormatException">Neither, damaged, or of another model.</exception>
    public static ChannelMap Read(string path, ModelFile model)
    {
        var head = new byte[256];
        int read;
        using (var stream = File.OpenRead(path)) read = stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
        var map = Encoding.UTF8.GetString(head, 0, read).Contains("\"model.layers.", StringComparison.Ordinal)
            ? AuthorsChannelFile.Load(path, model.Config)
            : ChannelMap.Load(path);
        map.CheckFits(model.Config);
        map.CheckModel(model.Fingerprint);
        return map;
    }
}
