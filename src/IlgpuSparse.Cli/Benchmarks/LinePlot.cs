using ScottPlot;
using ScottPlot.TickGenerators;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Lines over a logarithmic axis, of contexts unless another is named, written as PNG and SVG.</summary>
/// <param name="Title">Above the plot.</param>
/// <param name="YLabel">What is shown, with its unit.</param>
/// <param name="LogY">Whether that axis is logarithmic too.</param>
internal sealed record LinePlot(string Title, string YLabel, bool LogY)
{
    // what the legend takes beyond a few lines comes on top
    private const int Width = 900, LeastHeight = 560, LinesInThat = 5, LegendLine = 27, ColoursOfPalette = 10;

    private readonly List<(string Name, IReadOnlyList<(int X, double Value)> Points, bool Reference)> _lines = [];

    /// <summary>What the lines are over, with its unit.</summary>
    public string XLabel { get; init; } = "context, tokens";

    /// <summary>How a value of that axis reads.</summary>
    public Func<int, string> XText { get; init; } = ContextText;

    /// <summary>Whether the axis is marked at powers of two instead of every value that occurs.</summary>
    public bool XPowersOfTwo { get; init; }

    /// <summary>Whether there is anything to draw.</summary>
    public bool IsEmpty => _lines.Count == 0;

    /// <summary>Adds a line, thinner for a <paramref name="reference"/>; nothing without points.</summary>
    public void Add(string name, IEnumerable<(int X, double? Value)> points, bool reference = false)
    {
        (int, double)[] known = [.. points.Where(p => LogY ? p.Value is > 0 : p.Value is >= 0).Select(p => (p.X, p.Value!.Value)).OrderBy(p => p.X)];
        if (known.Length > 0) _lines.Add((name, known, reference));
    }

    /// <summary>Writes <paramref name="path"/>.png and .svg; returns both names.</summary>
    /// <exception cref="NotSupportedException">The native library that draws is not there.</exception>
    public IReadOnlyList<string> Save(string path)
    {
        try
        {
            var plot = Draw();
            int height = LeastHeight + LegendLine * Math.Max(0, _lines.Count - LinesInThat);
            plot.SavePng(path + ".png", Width, height);
            plot.SaveSvg(path + ".svg", Width, height);
        }
        catch (Exception e) when (e.GetBaseException() is DllNotFoundException)
        {
            throw new NotSupportedException("plots need the native library of SkiaSharp, which is not part of this copy: make them from the JSON document elsewhere (--plot-from)", e);
        }
        return [path + ".png", path + ".svg"];
    }

    private Plot Draw()
    {
        var plot = new Plot();
        if (_lines.Count > ColoursOfPalette) plot.Add.Palette = new ScottPlot.Palettes.Category20();
        plot.Title(Title);
        plot.XLabel(XLabel);
        plot.YLabel(YLabel);
        foreach (var (name, points, reference) in _lines)
        {
            var line = plot.Add.Scatter(points.Select(p => Math.Log2(p.X)).ToArray(), points.Select(p => LogY ? Math.Log10(p.Value) : p.Value).ToArray());
            line.LegendText = name;
            // no dashes: the SVG canvas does not draw them
            line.LineWidth = reference ? 1 : 2.5f;
            line.MarkerSize = reference ? 9 : 7;
            line.MarkerShape = reference ? MarkerShape.OpenCircle : MarkerShape.FilledCircle;
        }
        int[] marks = [.. _lines.SelectMany(l => l.Points).Select(p => p.X).Distinct().Order()];
        if (XPowersOfTwo)
        {
            int first = (int)Math.Floor(Math.Log2(marks[0])), last = (int)Math.Ceiling(Math.Log2(marks[^1]));
            marks = [.. Enumerable.Range(first, last - first + 1).Where(p => p < 31).Select(p => 1 << p)];
        }
        plot.Axes.Bottom.TickGenerator = new NumericManual(marks.Select(x => Math.Log2(x)).ToArray(), marks.Select(XText).ToArray());
        double least = _lines.Min(l => l.Points.Min(p => p.Value)), most = _lines.Max(l => l.Points.Max(p => p.Value));
        if (LogY && most < 10 * least)
        {
            double[] values = Marks(least, most);
            plot.Axes.Left.TickGenerator = new NumericManual(values.Select(Math.Log10).ToArray(), values.Select(y => $"{y:#,0.###}").ToArray());
        }
        else if (LogY)
        {
            plot.Axes.Left.TickGenerator = new NumericAutomatic
            {
                MinorTickGenerator = new LogMinorTickGenerator(),
                IntegerTicksOnly = true,
                LabelFormatter = y => $"{Math.Pow(10, y):#,0.###}",
            };
            plot.Grid.MinorLineColor = Colors.Black.WithOpacity(0.05);
            plot.Grid.MinorLineWidth = 1;
        }
        plot.Axes.AutoScale();
        if (!LogY) plot.Axes.SetLimitsY(0, 1.1 * most);
        plot.ShowLegend(Edge.Bottom);
        return plot;
    }

    // Within a power of ten there may be none to mark: multiples of 1, 2 or 5 of a smaller one, about five.
    private static double[] Marks(double least, double most)
    {
        double wanted = Math.Max((most - least) / 5, 1e-3 * most), power = Math.Pow(10, Math.Floor(Math.Log10(wanted))), share = wanted / power;
        double step = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
        int first = (int)Math.Floor(least / step), last = (int)Math.Ceiling(most / step);
        return [.. Enumerable.Range(first, last - first + 1).Where(n => n > 0).Select(n => n * step)];
    }

    private static string ContextText(int tokens) => tokens % 1024 == 0 ? $"{tokens / 1024}K" : $"{tokens:N0}";
}
