using System.Runtime.InteropServices;
using System.Text;
using IlgpuSparse.Model;

namespace IlgpuSparse.Chat;

/// <summary>
/// BPE as SentencePiece does it: characters and user-defined pieces are the first symbols; among all neighbours whose joint text is a piece, the pair with the highest score, the
/// leftmost among equals, is merged, until none is left. Method of google/sentencepiece, <c>bpe_model.cc</c>, ids equal to its own. (Microsoft.ML.Tokenizers merges the
/// rightmost among equals, so that "......" and "eeee" come out with other ids than the model was trained on; therefore this class.)
/// </summary>
internal sealed class SentencePieceEncoder : PieceEncoder
{
    /// <summary>How pieces write a space: U+2581.</summary>
    public const char Space = '\u2581';

    private readonly SentencePieceVocabulary _vocabulary;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _mergeable;
    private readonly TokenSplitter _userDefined;
    private readonly int[] _byteIds = new int[256];

    /// <summary>Prepares the tables.</summary>
    /// <exception cref="ModelFormatException">Text without a piece could not be encoded at all.</exception>
    public SentencePieceEncoder(SentencePieceVocabulary vocabulary)
    {
        _vocabulary = vocabulary;
        Array.Fill(_byteIds, -1);
        var mergeable = new Dictionary<string, int>(vocabulary.Pieces.Length);
        var userDefined = new Dictionary<string, int>();
        for (int id = 0; id < vocabulary.Pieces.Length; id++)
        {
            string piece = vocabulary.Pieces[id];
            var type = vocabulary.Types[id];
            // Control, unknown and byte pieces stay out: text that happens to read "</s>" must not become the end of the sequence.
            if (type is PieceType.Normal or PieceType.UserDefined or PieceType.Unused) mergeable.TryAdd(piece, id);
            if (type == PieceType.UserDefined) userDefined.TryAdd(piece, id);
            if (type == PieceType.Byte && PieceBytes.TryParseByte(piece, out byte value)) _byteIds[value] = id;
        }
        bool allBytes = vocabulary.ByteFallback && !_byteIds.Contains(-1);
        if (!allBytes && (uint)vocabulary.UnknownId >= (uint)vocabulary.Pieces.Length)
            throw new ModelFormatException(vocabulary.Source, "the tokenizer has neither all 256 byte pieces nor an unknown token");
        _mergeable = mergeable.GetAlternateLookup<ReadOnlySpan<char>>();
        _userDefined = new TokenSplitter(userDefined);
    }

    /// <inheritdoc/>
    public override void Encode(string text, bool afterControl, List<int> ids)
    {
        string normal = Normalize(text, afterControl);
        if (normal.Length == 0) return;
        var symbols = Split(normal);
        var origins = Merge(normal, symbols);
        bool unknownBefore = false;
        for (int i = 0; i >= 0; i = symbols[i].Next) Emit(normal.AsSpan(symbols[i].Start, symbols[i].Length), origins, ids, ref unknownBefore);
    }

    private string Normalize(string text, bool afterControl)
    {
        if (_vocabulary.RemoveExtraSpaces) text = string.Join(' ', text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        if (text.Length == 0) return text;
        text = text.Replace(' ', Space);
        return afterControl && _vocabulary.AddSpacePrefix ? Space + text : text;
    }

    /// <summary>First symbols: user-defined pieces, which never merge, and single characters.</summary>
    private Symbol[] Split(string text)
    {
        var symbols = new List<Symbol>(text.Length);
        for (int at = 0; at < text.Length;)
        {
            int length = _userDefined.IsEmpty ? 0 : _userDefined.Match(text, at).Length;
            bool frozen = length > 0;
            if (!frozen) length = char.IsHighSurrogate(text[at]) && at + 1 < text.Length ? 2 : 1;
            symbols.Add(new Symbol { Start = at, Length = length, Frozen = frozen, Previous = symbols.Count - 1, Next = symbols.Count + 1 });
            at += length;
        }
        CollectionsMarshal.AsSpan(symbols)[^1].Next = -1;
        return [.. symbols];
    }

    /// <summary>Merges in place. Returns how unused pieces came about (length of their left part), null when there were none.</summary>
    private Dictionary<string, int>? Merge(string text, Symbol[] symbols)
    {
        // A pair is (left symbol, right symbol, joint length at the time); it is stale when the lengths no longer add up.
        var agenda = new PriorityQueue<(int Left, int Right, int Length), ulong>();
        Dictionary<string, int>? origins = null;
        for (int i = 1; i < symbols.Length; i++) Consider(i - 1, i);
        while (agenda.TryDequeue(out var pair, out _))
        {
            ref var left = ref symbols[pair.Left];
            ref var right = ref symbols[pair.Right];
            if (left.Length == 0 || right.Length == 0 || left.Length + right.Length != pair.Length) continue;
            left.Length = pair.Length;
            left.Next = right.Next;
            if (right.Next >= 0) symbols[right.Next].Previous = pair.Left;
            right.Length = 0;
            Consider(left.Previous, pair.Left);
            Consider(pair.Left, left.Next);
        }
        return origins;

        void Consider(int left, int right)
        {
            if (left < 0 || right < 0 || symbols[left].Frozen || symbols[right].Frozen) return;
            int length = symbols[left].Length + symbols[right].Length;
            var joint = text.AsSpan(symbols[left].Start, length);
            if (!_mergeable.TryGetValue(joint, out int id)) return;
            agenda.Enqueue((left, right, length), Priority(_vocabulary.Scores[id], left));
            if (_vocabulary.Types[id] == PieceType.Unused) (origins ??= [])[joint.ToString()] = symbols[left].Length;
        }
    }

    /// <summary>Higher scores first, then lower positions; the queue takes the smallest number.</summary>
    private static ulong Priority(float score, int left)
    {
        int bits = BitConverter.SingleToInt32Bits(score + 0f); // -0 and 0 are equal scores
        uint ascending = bits < 0 ? ~(uint)bits : (uint)bits | 0x8000_0000;
        return (ulong)~ascending << 32 | (uint)left;
    }

    private void Emit(ReadOnlySpan<char> piece, Dictionary<string, int>? origins, List<int> ids, ref bool unknownBefore)
    {
        if (!_mergeable.TryGetValue(piece, out int id)) id = -1;
        if (id >= 0 && _vocabulary.Types[id] == PieceType.Unused && origins is not null && origins.TryGetValue(piece.ToString(), out int leftLength))
        {
            Emit(piece[..leftLength], origins, ids, ref unknownBefore);
            Emit(piece[leftLength..], origins, ids, ref unknownBefore);
            return;
        }
        if (id >= 0)
        {
            ids.Add(id);
            unknownBefore = false;
            return;
        }
        if (_vocabulary.ByteFallback && EmitBytes(piece, ids))
        {
            unknownBefore = false;
            return;
        }
        if (!unknownBefore) ids.Add(_vocabulary.UnknownId); // a run of unknown characters is one unknown token
        unknownBefore = true;
    }

    private bool EmitBytes(ReadOnlySpan<char> piece, List<int> ids)
    {
        Span<byte> utf8 = stackalloc byte[8]; // a piece that is not in the vocabulary is one character
        utf8 = utf8[..Encoding.UTF8.GetBytes(piece, utf8)];
        foreach (byte b in utf8)
        {
            if (_byteIds[b] < 0) return false;
        }
        foreach (byte b in utf8) ids.Add(_byteIds[b]);
        return true;
    }

    private struct Symbol
    {
        public int Start;
        public int Length; // 0 once merged into its left neighbour
        public int Previous;
        public int Next;
        public bool Frozen;
    }
}
