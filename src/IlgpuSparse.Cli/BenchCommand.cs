using System.CommandLine;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse bench</c>: measurements of this machine.</summary>
internal static class BenchCommand
{
    /// <summary>The command.</summary>
    public static Command Create() => new("bench", "Measures how fast this machine is, after checking that its results are right.")
    {
        BenchAttentionCommand.Create(),
        BenchLinearCommand.Create(),
        BenchLabelsCommand.Create(),
        BenchDriftCommand.Create(),
        BenchModelCommand.CreatePrefill(),
        BenchModelCommand.CreateDecode(),
        BenchOffloadCommand.Create(),
    };
}
