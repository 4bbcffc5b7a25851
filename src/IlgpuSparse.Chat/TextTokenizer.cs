using System.Text;
using IlgpuSparse.Model;

namespace IlgpuSparse.Chat;

/// <summary>
/// Text to token ids and back, for the tokenizer that a model file carries: SentencePiece BPE with byte fallback, or byte-level BPE. Safe for use by several threads.
/// </summary>
public sealed class TextTokenizer
{
    private static readonly string GuardText = Guard.ToString();

    private readonly PieceEncoder _encoder;
    private readonly PieceBytes _pieces;
    private readonly TokenSplitter _always;
    private readonly TokenSplitter _withControl;
    private readonly HashSet<int> _control;
    private readonly bool _addBos;

    private TextTokenizer(TokenizerData data, PieceEncoder encoder, PieceBytes pieces, Dictionary<string, int> control, Dictionary<string, int> userDefined)
    {
        _encoder = encoder;
        _pieces = pieces;
        _control = [.. control.Values];
        _always = new TokenSplitter(userDefined);
        _withControl = new TokenSplitter(control.Concat(userDefined));
        SpecialTokens = control;
        BosId = data.BosId;
        EosIds = data.EosIds;
        _addBos = data.AddBos;
    }

    /// <summary>Beginning-of-sequence id, if the model has one.</summary>
    public int? BosId { get; }

    /// <summary>Ids that end a sequence.</summary>
    public IReadOnlyList<int> EosIds { get; }

    /// <summary>Number of ids. The output matrix of a model may have more rows, as padding.</summary>
    public int VocabularySize => _pieces.Count;

    /// <summary>Control tokens by their spelling: what <see cref="Encode"/> recognises only when asked to.</summary>
    public IReadOnlyDictionary<string, int> SpecialTokens { get; }

    /// <summary>Builds the tokenizer that <paramref name="data"/> describes.</summary>
    /// <exception cref="ModelFormatException">The description is damaged, contradicts itself or is not supported.</exception>
    public static TextTokenizer Create(TokenizerData data)
    {
        ArgumentNullException.ThrowIfNull(data);
        return data.Kind switch
        {
            TokenizerKind.SentencePiece => CreateSentencePiece(data),
            TokenizerKind.ByteLevelBpe => CreateByteLevel(data),
            _ => throw new ArgumentOutOfRangeException(nameof(data), data.Kind, "unknown kind of tokenizer"),
        };
    }

    private static TextTokenizer CreateSentencePiece(TokenizerData data)
    {
        var vocabulary = SentencePieceVocabulary.Create(data);
        var control = new Dictionary<string, int>();
        for (int id = 0; id < vocabulary.Pieces.Length; id++)
        {
            if (vocabulary.Types[id] == PieceType.Control) control.TryAdd(vocabulary.Pieces[id], id);
        }
        foreach (var (text, id) in data.SpecialTokens)
        {
            // The encoder itself takes user-defined pieces, in the text with its spaces escaped.
            if (id >= vocabulary.Pieces.Length || vocabulary.Types[id] is not (PieceType.UserDefined or PieceType.Unknown)) control[text] = id;
        }
        int? bos = data.BosId ?? (vocabulary.BosId >= 0 ? vocabulary.BosId : null);
        IReadOnlyList<int> eos = data.EosIds.Count > 0 || vocabulary.EosId < 0 ? data.EosIds : [vocabulary.EosId];
        data = data with { BosId = bos, EosIds = eos };
        int count = CountIds(data, vocabulary.Pieces.Length, control);
        return new TextTokenizer(data, new SentencePieceEncoder(vocabulary), PieceBytes.Of(vocabulary, count), control, []);
    }

    private static TextTokenizer CreateByteLevel(TokenizerData data)
    {
        if (data.Types.Count != 0 && data.Types.Count != data.Tokens.Count)
            throw new ModelFormatException(data.Source, $"the tokenizer has {data.Tokens.Count} pieces but {data.Types.Count} piece types");
        var control = new Dictionary<string, int>();
        var userDefined = new Dictionary<string, int>();
        foreach (var (text, id) in data.SpecialTokens) (TypeOf(id) == PieceType.UserDefined ? userDefined : control)[text] = id;
        for (int id = 0; id < data.Types.Count; id++)
        {
            if (TypeOf(id) == PieceType.UserDefined) userDefined.TryAdd(data.Tokens[id], id);
            else if (TypeOf(id) == PieceType.Control) control.TryAdd(data.Tokens[id], id);
        }
        int count = CountIds(data, data.Tokens.Count, control.Concat(userDefined));
        var texts = new Dictionary<int, string>();
        foreach (var (text, id) in userDefined) texts[id] = text;
        var pieces = PieceBytes.Of(data.Tokens, count, texts, control.Values.ToHashSet());
        return new TextTokenizer(data, new ByteLevelEncoder(data), pieces, control, userDefined);

        PieceType TypeOf(int id) => (uint)id < (uint)data.Types.Count ? (PieceType)data.Types[id] : PieceType.Control;
    }

    /// <summary>Ids reach to the last special token; a few may lie above the vocabulary, an absurd number is a damaged file.</summary>
    private static int CountIds(TokenizerData data, int pieces, IEnumerable<KeyValuePair<string, int>> special)
    {
        const int MostAdded = 1 << 20;
        int count = pieces;
        foreach (var (text, id) in special)
        {
            if (id < 0 || id >= pieces + MostAdded)
                throw new ModelFormatException(data.Source, $"the special token \"{text}\" has the id {id}, with a vocabulary of {pieces}");
            count = Math.Max(count, id + 1);
        }
        if (data.BosId is int bos && (uint)bos >= (uint)count)
            throw new ModelFormatException(data.Source, $"the beginning-of-sequence id {bos} is not below the vocabulary size {count}");
        return count;
    }

    /// <summary>Encodes <paramref name="text"/>. Unpaired surrogates count as U+FFFD.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="addBos">Whether to begin with <see cref="BosId"/> if the model wants it. A rendered chat template has it already.</param>
    /// <param name="parseSpecial">
    /// Whether the spellings of control tokens ("&lt;/s&gt;", "&lt;|eot_id|&gt;") in the text become those tokens. Never for text from outside: whoever writes it could end the
    /// turn or speak in another role.
    /// </param>
    public int[] Encode(string text, bool addBos = true, bool parseSpecial = false)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = WellFormed(text);
        var ids = new List<int>(text.Length / 3 + 8);
        if (addBos && _addBos && BosId is int bos) ids.Add(bos);
        var special = parseSpecial ? _withControl : _always;
        bool afterControl = true;
        int from = 0;
        while (!special.IsEmpty)
        {
            var (start, length, id) = special.Next(text, from);
            if (length == 0) break;
            if (start > from) _encoder.Encode(Plain(text[from..start]), afterControl, ids);
            ids.Add(id);
            afterControl = _control.Contains(id);
            from = start + length;
        }
        if (from < text.Length) _encoder.Encode(Plain(text[from..]), afterControl, ids);
        return [.. ids];

        string Plain(string part) => parseSpecial ? part.Replace(GuardText, "", StringComparison.Ordinal) : part;
    }

    /// <summary>
    /// What stands in the spellings of control tokens that came from outside, between their first two characters: a noncharacter, so that it is in no text. It keeps them from becoming tokens and is then left out.
    /// </summary>
    internal const char Guard = '\uFDD0';

    /// <summary><paramref name="text"/> from outside, to be written into a chat template: whatever it spells, it stays text.</summary>
    internal string Guarded(string text)
    {
        text = text.Replace(Guard, '\uFFFD');
        foreach (string special in SpecialTokens.Keys)
            if (special.Length > 1) text = text.Replace(special, $"{special[0]}{Guard}{special[1..]}", StringComparison.Ordinal);
        return text;
    }

    /// <summary>The spelling of the control token <paramref name="id"/>; empty when there is none.</summary>
    internal string Spelling(int? id) => SpecialTokens.FirstOrDefault(t => t.Value == id).Key ?? "";

    /// <summary>Encodes a rendered chat template, in which texts from outside are guarded (<see cref="Guarded"/>). It begins with <see cref="BosId"/> if the model wants that, written or not.</summary>
    internal int[] EncodeRendered(string text)
    {
        int[] ids = Encode(text, addBos: false, parseSpecial: true);
        return _addBos && BosId is int bos && (ids.Length == 0 || ids[0] != bos) ? [bos, .. ids] : ids;
    }

    /// <summary>The UTF-8 bytes that <paramref name="id"/> adds to a text; may be a part of a character.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The id is negative.</exception>
    public ReadOnlySpan<byte> Bytes(int id) => _pieces[id];

    /// <summary>
    /// Decodes <paramref name="ids"/> as a text of its own: the space that the tokenizer puts before a text is taken away again, control tokens show as nothing, bytes that
    /// are no UTF-8 as U+FFFD.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is negative.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        var decoder = CreateDecoder();
        var text = new StringBuilder(ids.Length * 4);
        foreach (int id in ids) text.Append(decoder.Append(id));
        return text.Append(decoder.Flush()).ToString();
    }

    /// <summary>A decoder for ids that come one by one.</summary>
    /// <param name="continuation">Whether the ids continue a prompt, so that a space at their beginning belongs to the text.</param>
    public IncrementalDecoder CreateDecoder(bool continuation = false) => new(_pieces, continuation);

    private static string WellFormed(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0) return text;
        var result = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes()) result.Append(rune); // yields U+FFFD for an unpaired surrogate
        return result.ToString();
    }
}
