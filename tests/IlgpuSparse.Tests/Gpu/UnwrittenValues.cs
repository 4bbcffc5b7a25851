using System.Text.RegularExpressions;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>Registers and variables of generated code that are read and nowhere written: the value was lost on the way from C#.</summary>
internal static partial class UnwrittenValues
{
    /// <summary>Of the PTX of a kernel's body.</summary>
    public static IEnumerable<string> OfPtx(string entry)
    {
        var written = new HashSet<string>();
        var read = new HashSet<string>();
        foreach (string line in entry.Split([';', '\n']))
        {
            string statement = line.Trim().TrimStart('{').TrimStart();
            if (statement.Length == 0 || statement[0] == '.' || statement[^1] == ':') continue;
            var match = Statement().Match(statement);
            if (match.Groups["guard"].Success) read.Add(match.Groups["guard"].Value);
            string operands = match.Groups["operands"].Value;
            // a vector in braces, or all up to the comma
            string target = HasNoResult().IsMatch(match.Groups["operation"].Value) ? "" : operands.StartsWith('{') ? operands[..(operands.IndexOf('}') + 1)] : operands.Split(',')[0];
            if (target.Contains('[')) target = ""; // a store
            foreach (Match register in Register().Matches(target)) written.Add(register.Value);
            foreach (Match register in Register().Matches(operands[target.Length..])) read.Add(register.Value);
        }
        return read.Except(written);
    }

    /// <summary>Of OpenCL C, where ILGPU declares all variables at the top.</summary>
    public static IEnumerable<string> OfOpenCl(string source)
    {
        var written = new HashSet<string>();
        var read = new HashSet<string>();
        int body = source.IndexOf('{', source.IndexOf("kernel void", StringComparison.Ordinal));
        foreach (Match parameter in Variable().Matches(source[source.IndexOf("kernel void", StringComparison.Ordinal)..body])) written.Add(parameter.Value);
        foreach (string line in source[body..].Split('\n'))
        {
            string statement = line.Trim();
            var declaration = Declaration().Match(statement);
            if (declaration.Success)
            {
                if (declaration.Groups["array"].Success) written.Add(declaration.Groups["name"].Value);
                continue;
            }
            var assignment = Assignment().Match(statement);
            if (assignment.Success) written.Add(assignment.Groups["name"].Value);
            foreach (Match variable in Variable().Matches(assignment.Success ? statement[assignment.Length..] : statement)) read.Add(variable.Value);
        }
        return read.Except(written);
    }

    [GeneratedRegex(@"^(@!?(?<guard>%p\d+)\s+)?(?<operation>\S+)\s*(?<operands>.*)$")]
    private static partial Regex Statement();

    [GeneratedRegex(@"^(st|red|bra|brx|bar|ret|cp|membar|fence|prefetch)\b")]
    private static partial Regex HasNoResult();

    [GeneratedRegex(@"%(p|rs|rd|r|fd|f)\d+\b")]
    private static partial Regex Register();

    [GeneratedRegex(@"\bvar\d+\b")]
    private static partial Regex Variable();

    [GeneratedRegex(@"^(?!return)\w+( \w+)*\*? (?<name>var\d+)(?<array>\[\d+\])?;$")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"^(?<name>var\d+)(\.\w+)* = ")]
    private static partial Regex Assignment();
}
