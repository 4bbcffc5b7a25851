using System.CommandLine;
using System.Globalization;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;
using Spectre.Console;

namespace IlgpuSparse.Cli;

/// <summary><c>ilgpusparse inspect logits</c>: the numbers that other implementations can be compared with.</summary>
internal static class InspectLogitsCommand
{
    private const KvFormat StandardKvFormat = KvFormat.F32;

    private static readonly Option<string?> s_model = ModelOptions.Model();
    private static readonly Option<string?> s_ids = new("--ids") { Description = "Token ids, separated by commas.", HelpName = "1,2,3" };
    private static readonly Option<string?> s_idsFile = new("--ids-file") { Description = "A file with token ids, separated by commas or white space.", HelpName = "path" };
    private static readonly Option<KvFormat?> s_kvType = ModelOptions.KvType(StandardKvFormat);
    private static readonly Option<string> s_backend = ModelOptions.Backend();
    private static readonly Option<int> s_threads = ModelOptions.Threads();
    private static readonly Option<bool> s_json = ModelOptions.Json();

    /// <summary>The command.</summary>
    public static Command Create()
    {
        var command = new Command("logits", "Dense logits of given token ids: all of the last position, and argmax and log-sum-exp of every position.")
        {
            s_model, s_ids, s_idsFile, s_kvType, s_backend, s_threads, s_json,
        };
        command.SetAction((arguments, cancellation) => CommandGuard.Run(() => Run(arguments, cancellation)));
        return command;
    }

    private static int Run(ParseResult arguments, CancellationToken cancellation)
    {
        int[] ids = ReadIds(arguments.GetValue(s_ids), arguments.GetValue(s_idsFile));
        using var model = ModelFile.Open(arguments.ModelPath(s_model));
        using var backend = ComputeBackends.Create(arguments.GetValue(s_backend)!, arguments.GetValue(s_threads));
        using var weights = LlamaWeights.Load(backend, model);
        using var decoder = new LlamaDecoder(backend, weights, new DecoderOptions { Capacity = ids.Length, KvFormat = arguments.GetValue(s_kvType) ?? StandardKvFormat });
        using var sequence = decoder.NewSequence();
        var argmax = new int[ids.Length];
        var logSumExp = new double[ids.Length];
        float[] last = [];
        decoder.PrefillAll(sequence, ids, (i, logits) =>
        {
            var row = logits.Span;
            float largest = float.NegativeInfinity;
            for (int j = 0; j < row.Length; j++)
            {
                if (row[j] <= largest) continue;
                largest = row[j];
                argmax[i] = j;
            }
            double sum = 0;
            foreach (float x in row) sum += Math.Exp((double)x - largest);
            logSumExp[i] = largest + Math.Log(sum);
            if (i == ids.Length - 1) last = row.ToArray();
        }, cancellation);
        if (arguments.GetValue(s_json))
        {
            JsonOutput.Write(new { logits = last, argmax, logSumExp });
            return 0;
        }
        var table = new Table().Border(TableBorder.Rounded).AddColumns("position", "id", "argmax", "log-sum-exp");
        for (int i = 0; i < ids.Length; i++) table.AddRow($"{i}", $"{ids[i]}", $"{argmax[i]}", $"{logSumExp[i]:0.#####}");
        AnsiConsole.Write(table);
        AnsiConsole.WriteLine("ten largest logits of the last position: " + string.Join("  ", last.Select((x, i) => (x, i)).OrderByDescending(p => p.x).Take(10).Select(p => $"{p.i}: {p.x:0.####}")));
        return 0;
    }

    private static int[] ReadIds(string? inline, string? file)
    {
        if (inline is null == file is null) throw new ArgumentException("give token ids by --ids or by --ids-file, one of the two");
        string text = inline ?? File.ReadAllText(file!);
        string[] parts = text.Split([',', ' ', '\t', '\r', '\n', '[', ']'], StringSplitOptions.RemoveEmptyEntries);
        if (parts.Length == 0) throw new ArgumentException("no token ids given");
        return [.. parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out int id) ? id : throw new ArgumentException($"'{p}' is not a token id"))];
    }
}
