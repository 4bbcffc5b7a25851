using IlgpuSparse.Compute;
using Spectre.Console;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>A benchmark at work: where and how it measures, and what it has found.</summary>
internal sealed class BenchSession
{
    private readonly Func<BenchRow, BenchRow> _finish;
    private readonly Action<IReadOnlyList<BenchRow>> _save;
    private readonly List<BenchRow> _rows = [];

    /// <summary>Begins.</summary>
    /// <param name="backend">What is measured.</param>
    /// <param name="settings">How.</param>
    /// <param name="yardstick">The memory rate, the first row.</param>
    /// <param name="finish">Adds to a row what it is compared with.</param>
    /// <param name="save">Told of all rows after every configuration.</param>
    /// <param name="cancellation">Ends the work; what was found until then stays.</param>
    public BenchSession(ComputeBackend backend, BenchSettings settings, Yardstick yardstick, Func<BenchRow, BenchRow> finish, Action<IReadOnlyList<BenchRow>> save, CancellationToken cancellation)
    {
        (Backend, Settings, Yardstick, Cancellation, _finish, _save) = (backend, settings, yardstick, cancellation, finish, save);
        _rows.Add(yardstick.Row);
    }

    /// <summary>What is measured.</summary>
    public ComputeBackend Backend { get; }

    /// <summary>How.</summary>
    public BenchSettings Settings { get; }

    /// <summary>The memory rate.</summary>
    public Yardstick Yardstick { get; }

    /// <summary>Asked for between measurements.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>Results so far.</summary>
    public IReadOnlyList<BenchRow> Rows => _rows;

    /// <summary>Whether the work was ended early.</summary>
    public bool Cancelled { get; private set; }

    /// <summary>Measures each of <paramref name="grid"/>, with progress on the error stream.</summary>
    public void Each<T>(IReadOnlyList<T> grid, Func<T, IReadOnlyList<BenchRow>> measure) where T : notnull
    {
        var errors = ProgressConsole.Instance;
        if (!errors.Profile.Capabilities.Interactive)
        {
            All((what, done) => errors.WriteLine($"{done + 1}/{grid.Count} {what}"));
            return;
        }
        errors.Progress().AutoClear(true).Start(progress =>
        {
            var task = progress.AddTask("", maxValue: grid.Count);
            All((what, done) =>
            {
                task.Description = Markup.Escape(what);
                task.Value = done;
            });
        });

        void All(Action<string, int> report)
        {
            try
            {
                for (int i = 0; i < grid.Count; i++)
                {
                    report(grid[i].ToString()!, i);
                    _rows.AddRange(measure(grid[i]).Select(_finish));
                    _save(_rows);
                }
            }
            catch (OperationCanceledException)
            {
                // what was measured until now is still worth printing
                Cancelled = true;
            }
        }
    }
}
