using System.CommandLine;
using IlgpuSparse.Cli.Benchmarks;
using IlgpuSparse.Compute.Gpu;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench linear</c>: products of a decode step with weights as stored, checked, then timed over formats, shapes and rows.</summary>
internal static class BenchLinearCommand
{
    private static readonly Option<string> s_weights = new("--weights")
    {
        Description = "Formats of the weights, separated by commas; all for every one.",
        DefaultValueFactory = _ => "F16,BF16,Q8_0,Q4_K",
        HelpName = "format,...",
    };
    private static readonly Option<string> s_shapes = new("--shapes")
    {
        Description = "Outputs x inputs, separated by commas.",
        DefaultValueFactory = _ => "4096x4096,11008x4096,4096x11008,32000x4096",
        HelpName = "NxK,...",
    };
    private static readonly Option<string> s_rows = new("--rows") { Description = "Activation rows, separated by commas.", DefaultValueFactory = _ => "1,4,8", HelpName = "n,n,..." };

    private static readonly Option<ProductPrecision?> s_precision = ModelOptions.Precision(ProductPrecision.Half);
    private static readonly Option<bool> s_tiles = new("--tiles") { Description = "Time products of many rows by every tile too, and those of one row in turn, without kernels that start early." };

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("linear", """
            Times products of activations with weight matrices as stored, GB/s of stored bytes against the memory rate, TFLOP/s where there are many rows.
            Each configuration is first checked against the cpu backend; a wrong result is an error and no time is given.
            On CUDA a product is timed replayed from a graph (the headline) and launched call by call.
            """)
        {
            s_weights, s_shapes, s_rows, s_precision, s_tiles,
        };
        BenchOptions.AddTo(command);
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        WeightFormat[] formats = arguments.GetValue(s_weights) is "all" ? Enum.GetValues<WeightFormat>()
            : [.. BenchOptions.Parts(arguments, s_weights).Select(Format)];
        var shapes = BenchOptions.Parts(arguments, s_shapes).Select(Shape).ToList();
        int[] rows = [.. BenchOptions.Parts(arguments, s_rows).Select(p => BenchOptions.Number(s_rows, p, 1, 1 << 16))];
        LinearConfiguration[] grid = [.. from format in formats from shape in shapes from r in rows select new LinearConfiguration(format, shape.Outputs, shape.Inputs, r)];
        var run = new BenchRun(arguments, "linear", row => row, (_, _) => throw new ArgumentException("--plot: bench linear has tables only"), arguments.GetValue(s_precision) ?? ProductPrecision.Half);
        return run.Execute(session =>
        {
            using var benchmark = new LinearBenchmark(session, arguments.GetValue(s_precision) ?? ProductPrecision.Half, arguments.GetValue(s_tiles));
            session.Each(grid, benchmark.Measure);
        }, cancellation);
    }

    private static WeightFormat Format(string text) => Enum.TryParse<WeightFormat>(text, ignoreCase: true, out var format) && Enum.IsDefined(format) ? format
        : throw new ArgumentException($"--weights {text}: expected {string.Join(", ", Enum.GetNames<WeightFormat>())} or all");

    private static (int Outputs, int Inputs) Shape(string text)
    {
        string[] sizes = text.Split('x');
        if (sizes.Length != 2) throw new ArgumentException($"--shapes {text}: expected outputs x inputs, as 11008x4096");
        return (BenchOptions.Number(s_shapes, sizes[0], 1, 1 << 20), BenchOptions.Number(s_shapes, sizes[1], 1, 1 << 20));
    }
}
