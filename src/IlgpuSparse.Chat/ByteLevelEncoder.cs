using IlgpuSparse.Model;
using Microsoft.ML.Tokenizers;

namespace IlgpuSparse.Chat;

/// <summary>Byte-level BPE (GPT-2, Llama 3, Qwen 2): text is split into words, words into bytes, and bytes are merged by rank, by <see cref="BpeTokenizer"/>.</summary>
internal sealed class ByteLevelEncoder : PieceEncoder
{
    private readonly BpeTokenizer _bpe;

    /// <summary>Builds the tables of <paramref name="data"/>.</summary>
    /// <exception cref="ModelFormatException">The vocabulary is empty or a merge names a piece that is not in it.</exception>
    public ByteLevelEncoder(TokenizerData data)
    {
        var vocabulary = new Dictionary<string, int>(data.Tokens.Count);
        for (int id = 0; id < data.Tokens.Count; id++) vocabulary.TryAdd(data.Tokens[id], id);
        string? unknown = data.UnknownId is int u && (uint)u < (uint)data.Tokens.Count && vocabulary[data.Tokens[u]] == u ? data.Tokens[u] : null;
        try
        {
            _bpe = BpeTokenizer.Create(new BpeOptions(vocabulary)
            {
                ByteLevel = true,
                Merges = data.Merges,
                PreTokenizer = new WordSplitter(data.SplitPattern ?? WordSplitter.Gpt2Pattern, data.Source),
                UnknownToken = unknown,
            });
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            throw new ModelFormatException(data.Source, $"the tokenizer's vocabulary and merges do not fit together: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public override void Encode(string text, bool afterControl, List<int> ids) => ids.AddRange(_bpe.EncodeToIds(text));
}
