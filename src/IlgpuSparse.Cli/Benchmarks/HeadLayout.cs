using System.Globalization;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Heads of a measured attention layer, written <c>32x8x128</c>: query heads, kv heads, channels a head.</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="KvHeads">Key and value heads, a divisor of <paramref name="Heads"/>.</param>
/// <param name="HeadDim">Channels a head.</param>
internal readonly record struct HeadLayout(int Heads, int KvHeads, int HeadDim)
{
    /// <summary>Reads the string form; 128 channels when they are left out.</summary>
    /// <exception cref="FormatException">Not of that form, or the heads do not divide.</exception>
    public static HeadLayout Parse(string text)
    {
        string[] parts = text.Split('x');
        var numbers = new int[3];
        numbers[2] = 128;
        bool good = parts.Length is 2 or 3;
        for (int i = 0; good && i < parts.Length; i++) good = int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out numbers[i]) && numbers[i] is >= 1 and <= 1024;
        if (!good) throw new FormatException($"heads '{text}': expected query heads x kv heads x channels a head, each from 1 to 1024, as in 32x8x128");
        if (numbers[0] % numbers[1] != 0) throw new FormatException($"heads '{text}': {numbers[0]} query heads are no multiple of {numbers[1]} kv heads");
        return new HeadLayout(numbers[0], numbers[1], numbers[2]);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Heads}x{KvHeads}x{HeadDim}";
}
