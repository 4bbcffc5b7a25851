using System.Text.RegularExpressions;

namespace IlgpuSparse.Tests.Gpu;

/// <summary>The code of a kernel that can be reached before it has waited for earlier ones, in whatever order its blocks stand in the text.</summary>
internal static partial class EarlyCode
{
    private const string Wait = "griddepcontrol.wait;";

    /// <summary>The blocks of a kernel's body up to the first wait on each way through them.</summary>
    public static string Of(string entry)
    {
        var pieces = Label().Split(entry);
        // text before the first label, then a label and its text in turn
        var blocks = new List<string> { pieces[0] };
        var numbers = new Dictionary<string, int>();
        for (int i = 1; i < pieces.Length; i += 2)
        {
            numbers[pieces[i]] = blocks.Count;
            blocks.Add(pieces[i + 1]);
        }
        var seen = new HashSet<int>();
        var open = new Stack<int>([0]);
        while (open.TryPop(out int number))
        {
            if (number >= blocks.Count || !seen.Add(number)) continue;
            int wait = blocks[number].IndexOf(Wait, StringComparison.Ordinal);
            if (wait >= 0)
            {
                // its targets lie behind the wait: a branch ends a block
                blocks[number] = blocks[number][..wait];
                continue;
            }
            bool ends = false;
            foreach (Match jump in Jump().Matches(blocks[number]))
            {
                if (jump.Groups["target"].Success) open.Push(numbers[jump.Groups["target"].Value]);
                ends |= !jump.Groups["guard"].Success;
            }
            if (!ends) open.Push(number + 1);
        }
        return string.Concat(seen.Order().Select(number => blocks[number]));
    }

    [GeneratedRegex(@"^[ \t]*(L_\w+):", RegexOptions.Multiline)]
    private static partial Regex Label();

    [GeneratedRegex(@"^[ \t]+(?<guard>@!?%p\d+\s+)?(bra(\.uni)?\s+(?<target>L_\w+)|ret);", RegexOptions.Multiline)]
    private static partial Regex Jump();
}
