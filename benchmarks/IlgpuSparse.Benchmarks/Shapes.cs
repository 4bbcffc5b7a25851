using System.Globalization;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Benchmarks;

/// <summary>Shapes as benchmark parameters, which must be constants.</summary>
internal static class Shapes
{
    /// <summary>"heads x kv heads x channels a head", without spaces.</summary>
    public static AttentionShape Parse(string text)
    {
        int[] sizes = [.. text.Split('x').Select(size => int.Parse(size, CultureInfo.InvariantCulture))];
        return new AttentionShape(sizes[0], sizes[1], sizes[2]);
    }
}
