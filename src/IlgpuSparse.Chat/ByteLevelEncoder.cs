using System.Text;
using System.Text.Unicode;
using IlgpuSparse.Model;
using Microsoft.ML.Tokenizers;

namespace IlgpuSparse.Chat;

/// <summary>
/// Byte-level BPE (GPT-2, Llama 3, Qwen 2): text is split into words, words into bytes, and bytes are merged by rank, by <see cref="BpeTokenizer"/>. Llama 3's words that are pieces
/// are taken whole: some of its pieces cannot be reached by merges.
/// </summary>
internal sealed class ByteLevelEncoder : PieceEncoder
{
    private readonly BpeTokenizer _bpe;
    private readonly WordSplitter _splitter;
    private readonly bool _compose;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>>? _whole;

    /// <summary>Builds the tables of <paramref name="data"/>.</summary>
    /// <exception cref="ModelFormatException">The vocabulary is empty or a merge names a piece that is not in it.</exception>
    public ByteLevelEncoder(TokenizerData data)
    {
        var vocabulary = new Dictionary<string, int>(data.Tokens.Count);
        for (int id = 0; id < data.Tokens.Count; id++) vocabulary.TryAdd(data.Tokens[id], id);
        string? unknown = data.UnknownId is int u && (uint)u < (uint)data.Tokens.Count && vocabulary[data.Tokens[u]] == u ? data.Tokens[u] : null;
        _splitter = new WordSplitter(data.SplitPattern ?? WordSplitter.Gpt2Pattern, data.Source);
        _compose = data.ComposeCharacters;
        if (data.IgnoreMerges) _whole = Words(data).GetAlternateLookup<ReadOnlySpan<char>>();
        try
        {
            _bpe = BpeTokenizer.Create(new BpeOptions(vocabulary)
            {
                ByteLevel = true,
                Merges = data.Merges,
                PreTokenizer = _splitter,
                UnknownToken = unknown,
            });
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException)
        {
            throw new ModelFormatException(data.Source, $"the tokenizer's vocabulary and merges do not fit together: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public override void Encode(string text, bool afterControl, List<int> ids)
    {
        if (_compose) text = CanonicalComposition.Of(text);
        if (_whole is not { } whole)
        {
            ids.AddRange(_bpe.EncodeToIds(text));
            return;
        }
        foreach (var (offset, length) in _splitter.PreTokenize(text))
        {
            var word = text.AsSpan(offset, length);
            if (whole.TryGetValue(word, out int id)) ids.Add(id);
            else ids.AddRange(_bpe.EncodeToIds(word, considerPreTokenization: false));
        }
    }

    // Pieces by the text that they spell; those that are only a part of a character spell none. Special tokens are no words.
    private static Dictionary<string, int> Words(TokenizerData data)
    {
        var special = data.SpecialTokens.Values.ToHashSet();
        var words = new Dictionary<string, int>(data.Tokens.Count);
        for (int id = 0; id < data.Tokens.Count; id++)
        {
            if (data.Tokens[id].Length == 0 || special.Contains(id)) continue;
            byte[] bytes = ByteAlphabet.Bytes(data.Tokens[id]);
            if (Utf8.IsValid(bytes)) words.TryAdd(Encoding.UTF8.GetString(bytes), id);
        }
        return words;
    }
}
