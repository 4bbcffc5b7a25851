using System.CommandLine;
using IlgpuSparse.Cli;

var root = new RootCommand("""
    Runs Llama-family models at long context by post-training sparse attention.

    Without --model, the small model that travels with this tool is used, offline. Start with:
      ilgpusparse generate                                   continue a long text with Double Sparsity, and see what was read
      ilgpusparse generate --attention dense                 the same with full attention
      ilgpusparse generate -m model.gguf -p "Once upon a"    any Llama, Mistral, Mixtral or Qwen 2 model
    """)
{
    GenerateCommand.Create(),
    CalibrateCommand.Create(),
    BenchCommand.Create(),
    InspectCommand.Create(),
    DoctorCommand.Create(),
};
return await root.Parse(args).InvokeAsync();
