using System.CommandLine;
using System.Globalization;
using System.Numerics;

namespace IlgpuSparse.Cli;

/// <summary>Options that take a number: one message for what is no number or outside the range, naming option, value and limits.</summary>
internal static class NumberOption
{
    /// <summary>An option for a number from <paramref name="least"/> to <paramref name="most"/>.</summary>
    public static Option<T> Create<T>(string name, string description, T least, T most, T standard, string helpName = "n", params string[] aliases) where T : struct, INumber<T>, IMinMaxValue<T>
    {
        string kind = typeof(T) == typeof(float) ? "a number" : "a whole number";
        return new Option<T>(name, aliases)
        {
            Description = description,
            HelpName = helpName,
            DefaultValueFactory = _ => standard,
            CustomParser = result =>
            {
                string text = result.Tokens.Count > 0 ? result.Tokens[0].Value : "";
                if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out T value) && value >= least && value <= most) return value;
                result.AddError($"{name} {text}: expected {kind} from {Show(least)} to {Show(most)}");
                return standard;
            },
        };
    }

    private static string Show<T>(T value) where T : struct, INumber<T> => value.ToString(null, CultureInfo.InvariantCulture);
}
