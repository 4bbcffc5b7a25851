namespace IlgpuSparse.Cli;

/// <summary>Byte counts as people read them.</summary>
internal static class Bytes
{
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>Three significant digits and a binary unit.</summary>
    public static string Text(long bytes)
    {
        double value = bytes;
        int unit = 0;
        for (; value >= 1000 && unit < s_units.Length - 1; unit++) value /= 1024;
        return unit == 0 ? $"{bytes} B" : value >= 100 ? $"{value:0} {s_units[unit]}" : value >= 10 ? $"{value:0.0} {s_units[unit]}" : $"{value:0.00} {s_units[unit]}";
    }
}
