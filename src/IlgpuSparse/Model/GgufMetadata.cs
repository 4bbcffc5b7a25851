namespace IlgpuSparse.Model;

/// <summary>Metadata of a GGUF file by key, read as the type that is asked for whatever width the file gave it.</summary>
internal sealed class GgufMetadata(string file, IReadOnlyDictionary<string, object> values)
{
    /// <summary>All keys.</summary>
    public IEnumerable<string> Keys => values.Keys;

    /// <summary>Whether <paramref name="key"/> is there.</summary>
    public bool Has(string key) => values.ContainsKey(key);

    /// <summary>A whole number, or null when absent. An array (one value a layer) counts as its value when all are the same.</summary>
    /// <exception cref="ModelFormatException">Of another type, too large for an <see cref="int"/>, or different from layer to layer.</exception>
    public int? FindInteger(string key) => values.TryGetValue(key, out object? value) ? ToInteger(key, value) : null;

    /// <summary>A whole number that must be there.</summary>
    public int Integer(string key) => FindInteger(key) ?? throw Absent(key);

    /// <summary>A whole number, <paramref name="otherwise"/> when absent.</summary>
    public int Integer(string key, int otherwise) => FindInteger(key) ?? otherwise;

    /// <summary>A number, or null when absent.</summary>
    public float? FindNumber(string key) => !values.TryGetValue(key, out object? value) ? null : value switch
    {
        double number => (float)number,
        ulong number => number,
        long number => number,
        _ => throw Wrong(key, value, "a number"),
    };

    /// <summary>A truth value, or null when absent.</summary>
    public bool? FindBool(string key) => Find<bool?>(key, "a truth value");

    /// <summary>A string, or null when absent.</summary>
    public string? FindString(string key) => Find<string>(key, "a string");

    /// <summary>A list of strings, or null when absent.</summary>
    public string[]? FindStrings(string key) => Find<string[]>(key, "a list of strings");

    /// <summary>A list of numbers, or null when absent.</summary>
    public double[]? FindNumbers(string key) => Find<double[]>(key, "a list of floating-point numbers");

    /// <summary>A list of whole numbers, or null when absent.</summary>
    public int[]? FindIntegers(string key) => !values.TryGetValue(key, out object? value) ? null : value switch
    {
        long[] numbers => Array.ConvertAll(numbers, n => ToInteger(key, n)),
        ulong[] numbers => Array.ConvertAll(numbers, n => ToInteger(key, n)),
        _ => throw Wrong(key, value, "a list of whole numbers"),
    };

    private int ToInteger(string key, object value) => value switch
    {
        ulong number when number <= int.MaxValue => (int)number,
        long number when number is >= int.MinValue and <= int.MaxValue => (int)number,
        ulong[] { Length: > 0 } numbers when numbers.AsSpan().IndexOfAnyExcept(numbers[0]) < 0 => ToInteger(key, numbers[0]),
        long[] { Length: > 0 } numbers when numbers.AsSpan().IndexOfAnyExcept(numbers[0]) < 0 => ToInteger(key, numbers[0]),
        ulong[] or long[] => throw new ModelFormatException(file, $"'{key}' differs from layer to layer, which is not supported"),
        _ => throw Wrong(key, value, "a whole number"),
    };

    private T? Find<T>(string key, string what) =>
        !values.TryGetValue(key, out object? value) ? default : value is T typed ? typed : throw Wrong(key, value, what);

    private ModelFormatException Absent(string key) => new(file, $"has no metadata '{key}'");

    private ModelFormatException Wrong(string key, object value, string what) =>
        new(file, $"the metadata '{key}' is {(value is Array or string ? $"a {(value is Array ? "list" : "string")}" : value)}, it must be {what}");
}
