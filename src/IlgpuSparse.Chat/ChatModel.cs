using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Compute;
using IlgpuSparse.Compute.Cpu;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Chat;

/// <summary>
/// A model that answers: file, backend, weights, decoder, engine, tokenizer and chat template as one thing. Safe for use by several threads; as many texts as <see cref="ChatModelOptions.Parallel"/> are continued at once.
/// </summary>
public sealed class ChatModel : IDisposable
{
    private readonly List<IDisposable> _owned = [];

    private ChatModel(string path, ChatModelOptions options, Action<string>? notTaken)
    {
        try
        {
            File = Own(ModelFile.Open(path));
            Tokenizer = TextTokenizer.Create(File.Tokenizer ?? throw new ModelFormatException(path, "carries no tokenizer, so text cannot be read"));
            Template = FindTemplate(options.Template, File.Tokenizer.ChatTemplate);
            Backend = Own(ComputeBackends.Create(options.Backend, options.Threads, notTaken, options.Precision));
            string? channels = options.ChannelMap == ChatModelOptions.NoMap ? null : options.ChannelMap ?? ChannelMapFile.Find(File.Path);
            var attention = options.AttentionFor(channels is not null, Backend is CpuBackend);
            if (attention.Online && options.Attention?.Online != true) AttentionNote = ChannelMapFile.WithoutMap(File.Path);
            if (attention.NeedsChannels && channels is null)
                throw new ArgumentException($"no channel map for this model: make one with 'ilgpusparse calibrate --model {File.Path}' (it is written to {ChannelMapFile.PathFor(File.Path)}), or use full attention", nameof(options));
            var decoding = new DecoderOptions
            {
                Capacity = options.ContextFor(File.Config.MaxContext),
                MaxSequences = options.Parallel,
                KvFormat = options.KvFormat,
                Attention = attention,
                Channels = attention.NeedsChannels ? ChannelMapFile.Load(channels!, File) : null,
            };
            Memory = MemoryPlan.For(File, decoding, Backend);
            Memory.CheckFits(Backend, decoding.Capacity);
            Decoder = Own(new LlamaDecoder(Backend, Own(LlamaWeights.Load(Backend, File)), decoding));
            Engine = Own(new GenerationEngine(Decoder, options.Engine));
            MaxTokens = options.MaxTokens;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The file.</summary>
    public ModelFile File { get; }

    /// <summary>A name for it: that of its file or directory, without its extension.</summary>
    public string Name => Path.GetFileName(File.Path.TrimEnd('/', '\\')) is var name && name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? name[..^5] : name;

    /// <summary>Text to tokens and back.</summary>
    public TextTokenizer Tokenizer { get; }

    /// <summary>How conversations are written down.</summary>
    public ChatTemplate Template { get; }

    /// <summary>What computes.</summary>
    public ComputeBackend Backend { get; }

    /// <summary>Bytes that it takes.</summary>
    public MemoryPlan Memory { get; }

    /// <summary>What runs the texts.</summary>
    public GenerationEngine Engine { get; }

    /// <summary>Tokens that the cache holds.</summary>
    public int Context => Decoder.Cache.Capacity;

    /// <summary>How decode steps attend.</summary>
    public AttentionOptions Attention => Decoder.Options.Attention;

    /// <summary>Why it is not what was asked for, or what a model with a channel map gets; null where it is.</summary>
    public string? AttentionNote { get; }

    /// <summary>Most tokens of an answer where the request says nothing.</summary>
    public int MaxTokens { get; }

    internal LlamaDecoder Decoder { get; }

    /// <summary>Opens a <c>.gguf</c> file or a Hugging Face directory.</summary>
    /// <param name="path">The model.</param>
    /// <param name="options">How.</param>
    /// <param name="notTaken">Told of devices that were passed over, with the reason.</param>
    /// <exception cref="ModelFormatException">Damaged, contradictory or unsupported.</exception>
    /// <exception cref="ChatTemplateException">Its chat template is beyond what is supported; name another one.</exception>
    /// <exception cref="ArgumentException">Options that contradict the model.</exception>
    /// <exception cref="InsufficientMemoryException">It does not fit.</exception>
    public static ChatModel Open(string path, ChatModelOptions? options = null, Action<string>? notTaken = null) => new(path, options ?? new ChatModelOptions(), notTaken);

    /// <summary>Continues a text; the request is taken, or refused, before this returns.</summary>
    /// <exception cref="ArgumentException">The prompt does not fit, or options are outside their ranges.</exception>
    /// <exception cref="EngineBusyException">Too many requests wait already.</exception>
    public TextGeneration Generate(TextRequest request, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return new TextGeneration(this, request, cancellation);
    }

    private static ChatTemplate FindTemplate(string? given, string? carried)
    {
        if (given is null && carried is null) return ChatTemplate.BuiltIn("plain");
        if (given is null)
        {
            try
            {
                return ChatTemplate.Parse(carried!);
            }
            catch (ChatTemplateException e)
            {
                throw new ChatTemplateException($"{e.Message}. Name another template: {string.Join(", ", ChatTemplate.Names)}, or a file");
            }
        }
        return ChatTemplate.Names.Contains(given) ? ChatTemplate.BuiltIn(given)
            : System.IO.File.Exists(given) ? ChatTemplate.Parse(System.IO.File.ReadAllText(given))
            : throw new ArgumentException($"no chat template '{given}': neither a file nor one of {string.Join(", ", ChatTemplate.Names)}", nameof(given));
    }

    private T Own<T>(T part) where T : IDisposable
    {
        _owned.Add(part);
        return part;
    }

    /// <summary>Cancels what is in progress and frees everything.</summary>
    public void Dispose()
    {
        for (int i = _owned.Count - 1; i >= 0; i--) _owned[i].Dispose();
        _owned.Clear();
    }
}
