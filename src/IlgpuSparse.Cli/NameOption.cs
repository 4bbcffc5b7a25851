using System.CommandLine;

namespace IlgpuSparse.Cli;

/// <summary>Options that take one of a few names: those of an enumeration, in lower case.</summary>
internal static class NameOption
{
    /// <summary>An option for the names of <typeparamref name="T"/>; null when it is not given, which is to mean <paramref name="standard"/>.</summary>
    public static Option<T?> Create<T>(string name, string description, T standard) where T : struct, Enum
    {
        string[] names = [.. Enum.GetNames<T>().Select(n => n.ToLowerInvariant())];
        return new Option<T?>(name)
        {
            Description = $"{description} Default: {standard.ToString().ToLowerInvariant()}.",
            HelpName = string.Join('|', names),
            CustomParser = result =>
            {
                string text = result.Tokens.Count > 0 ? result.Tokens[0].Value : "";
                if (names.Contains(text.ToLowerInvariant())) return Enum.Parse<T>(text, ignoreCase: true);
                result.AddError($"{name} {text}: expected one of {string.Join(", ", names)}");
                return null;
            },
        };
    }
}
