using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Runtime.InteropServices;
using IlgpuSparse.Cli;

var root = new RootCommand("""
    Runs Llama-family models at long context by post-training sparse attention.

    Without --model, the small model that travels with this tool is used, offline. Start with:
      ilgpusparse generate                                   continue a long text with Double Sparsity, and see what was read
      ilgpusparse generate --attention dense                 the same with full attention
      ilgpusparse generate -m model.gguf -p "Once upon a"    any Llama, Mistral, Mixtral or Qwen 2 model
      ilgpusparse chat -m model.gguf                         talk to it here
      ilgpusparse serve -m model.gguf                        for clients of OpenAI and Ollama, and a page to look at
    """)
{
    GenerateCommand.Create(),
    ChatCommand.Create(),
    ServeCommand.Create(),
    CalibrateCommand.Create(),
    EvaluateCommand.Create(),
    BenchCommand.Create(),
    InspectCommand.Create(),
    DoctorCommand.Create(),
    CompletionCommand.Create(),
};
var help = root.Options.OfType<HelpOption>().Single();
help.Action = new HelpWithExamples((HelpAction)help.Action!);

var call = root.Parse(args.Length == 0 ? ["--help"] : args);
if (call.Action is ParseErrorAction errors) errors.ShowHelp = false; // a page of help would bury the message

// The first Ctrl-C ends a command with what it has, however long its current step takes; the second ends the process.
using var cancel = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return await call.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null }, cancel.Token);

void Stop(PosixSignalContext context)
{
    if (cancel.IsCancellationRequested) return;
    context.Cancel = true;
    cancel.Cancel();
}

/// <summary>The entry point; spelt out so that the web SDK's generator does not make it public.</summary>
internal sealed partial class Program;
