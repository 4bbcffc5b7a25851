using IlgpuSparse.Cli.Benchmarks;

namespace IlgpuSparse.Cli.Evaluations;

/// <summary>The plots of <c>evaluate</c>: accuracy, or perplexity over that of full attention, over the bytes that a step reads, one line a method.</summary>
internal static class EvaluationPlots
{
    private static readonly string[] s_leftOut = ["tokens=", "map=", "components="];

    /// <summary>Writes them to <paramref name="directory"/>, which is made; returns the names.</summary>
    /// <exception cref="FormatException">There are no results to plot.</exception>
    public static IReadOnlyList<string> Save(EvaluationDocument document, string directory)
    {
        if (document.Rows.Count == 0) throw new FormatException("there are no results to plot");
        Directory.CreateDirectory(directory);
        var written = new List<string>();
        foreach (var group in document.Rows.GroupBy(r => (r.Task, r.Setup)))
        {
            bool text = group.First().Perplexity is not null;
            var plot = new LinePlot($"{group.Key.Task}, set-up {group.Key.Setup}\n{document.Model}", text ? "perplexity / dense" : "answers right, %", LogY: text)
            {
                XLabel = "bytes of K, V and labels that a step reads",
                XText = bytes => Bytes.Text(bytes),
                XPowersOfTwo = true,
            };
            var lines = group.GroupBy(r => Method(r.Attention)).ToList();
            var names = Names([.. lines.Select(l => l.Key)]);
            foreach (var line in lines)
                plot.Add(names[line.Key], line.Select(r => ((int)Math.Min(int.MaxValue, r.BytesPerStep), text ? r.Ratio : 100 * r.Accuracy)));
            if (!plot.IsEmpty) written.AddRange(plot.Save(Path.Combine(directory, "evaluation-" + FileName(group.Key.Task) + $"-{group.Key.Setup}")));
        }
        return written;
    }

    /// <summary>The attention without its budget, be it tokens or mass, and without the paths of its files: what points of one line have in common.</summary>
    internal static string Method(string attention)
    {
        string[] halves = attention.Split(':', 2);
        if (halves.Length == 1) return attention;
        string rest = string.Join(',', halves[1].Split(',').Where(p => !s_leftOut.Any(s => p.StartsWith(s, StringComparison.Ordinal))).Select(p => p.StartsWith("top-p=", StringComparison.Ordinal) ? "top-p" : p));
        return rest.Length == 0 ? halves[0] : $"{halves[0]}:{rest}";
    }

    /// <summary>Short names of lines, by method: without the settings that all lines of the method have in common, where there are several.</summary>
    internal static IReadOnlyDictionary<string, string> Names(IReadOnlyList<string> methods)
    {
        var names = new Dictionary<string, string>();
        foreach (var group in methods.GroupBy(m => m.Split(':')[0]))
        {
            var settings = group.ToDictionary(m => m, m => m.Contains(':', StringComparison.Ordinal) ? m[(m.IndexOf(':', StringComparison.Ordinal) + 1)..].Split(',') : []);
            IEnumerable<string> common = settings.Count == 1 ? [] : settings.Values.Select(s => s.AsEnumerable()).Aggregate((a, b) => a.Intersect(b));
            foreach (var (method, own) in settings)
            {
                string rest = string.Join(',', own.Except(common));
                names[method] = rest.Length == 0 ? group.Key : $"{group.Key}:{rest}";
            }
        }
        return names;
    }

    // A task without what names of files may not have.
    private static string FileName(string task) => new([.. task.Where(c => c != '=').Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')]);
}
