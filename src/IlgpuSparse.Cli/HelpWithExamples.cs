using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace IlgpuSparse.Cli;

/// <summary>The help of a command, and after it calls to learn from.</summary>
internal sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
{
    private static readonly Dictionary<string, string> s_examples = new()
    {
        ["generate"] = """
              ilgpusparse generate                       the tool's own model continues a novel
              ilgpusparse generate -a dense              with full attention, to compare tokens/s and bytes read
              ilgpusparse generate -a double-sparsity:tokens=1/32,sinks=4,window=64
              ilgpusparse generate -a double-sparsity:channels=32,bits=4,scaling=token,sets=head
                                                         the paper's form, its 4-bit labels really packed
              ilgpusparse generate -m model.gguf -p "Once upon a time" -n 500 --temperature 0
              cat notes.txt | ilgpusparse generate -m model.gguf -f - --json

            Reported in the end: the bytes that a decoded token read. Density is what was read of the cache
            (labels, and K and V of the selected tokens) over the bytes of all K and V.
            """,
        ["serve"] = """
              ilgpusparse serve                          the tool's own model, for this machine alone
              ilgpusparse serve -m model.gguf --context 32768 --parallel 16
              ILGPUSPARSE_API_KEY=… ilgpusparse serve -m model.gguf --host 0.0.0.0 --port 80
            """,
        ["chat"] = """
              ilgpusparse chat -m model.gguf --system "Answer briefly."
              printf 'First question\nSecond question\n' | ilgpusparse chat -m model.gguf --json
            """,
        ["calibrate"] = """
              ilgpusparse calibrate -m model.gguf        writes model.channels.json, where generate looks for it
              ilgpusparse calibrate -m model.gguf --text one.txt --text two.txt
              ilgpusparse calibrate --statistic qk --prose-only -o paper.channels.json
                                                         the published recipe, to compare with
            """,
        ["evaluate"] = """
              ilgpusparse evaluate                       perplexity, lines and pass keys at 1/16 and 1/64 of the tokens
              ilgpusparse evaluate --task lines:length=8K,questions=400 -a double-sparsity -a double-sparsity:channels=32,bits=4
              ilgpusparse evaluate --task ppl:length=4K,tokens=1000 --text book.txt --tokens 1/8,1/16,1/32 --plot plots

            Density is what was read of the cache (labels, and K and V of the selected tokens) over the bytes of all K and V.
            """,
        ["inspect"] = """
              ilgpusparse inspect -m model.gguf --context 131072      what will 128K tokens take?
              ilgpusparse inspect -m model.gguf --context 131072 --kv-type f32 -a dense
              ilgpusparse inspect --tensors
            """,
        ["logits"] = """
              ilgpusparse inspect logits --ids 1,324,1169 --json
              ilgpusparse inspect logits -m model.gguf --ids-file prompt.ids --json

            The JSON: {"logits": [last position], "argmax": [every position], "logSumExp": [every position]}
            """,
    };

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        int code = help.Invoke(parseResult);
        if (!s_examples.TryGetValue(parseResult.CommandResult.Command.Name, out string? examples)) return code;
        var output = parseResult.InvocationConfiguration.Output;
        output.WriteLine("Examples:");
        output.WriteLine(examples);
        return code;
    }
}
