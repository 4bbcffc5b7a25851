using System.Text;
using IlgpuSparse.Chat;
using IlgpuSparse.Model;

namespace IlgpuSparse.Tests.Chat;

/// <summary>Tokenizers for the tests: the embedded model's SentencePiece file, and a byte-level BPE trained here.</summary>
internal static class TestTokenizers
{
    public static TokenizerData SentencePieceFile(byte[]? bytes = null) => new()
    {
        Kind = TokenizerKind.SentencePiece,
        Source = "books-16m.model",
        SentencePieceModel = bytes ?? File.ReadAllBytes(TestFiles.Data("tokenizer/books-16m.model")),
        AddBos = true,
    };

    /// <summary>The file with its normaliser's add_dummy_prefix and remove_extra_whitespaces set.</summary>
    public static TokenizerData SentencePieceFile(bool addPrefix, bool removeExtra)
    {
        byte[] bytes = File.ReadAllBytes(TestFiles.Data("tokenizer/books-16m.model"));
        int at = bytes.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0x18, 0x01, 0x20, 0x00]); // field 3 varint 1, field 4 varint 0
        Assert.True(at > 0);
        bytes[at + 1] = (byte)(addPrefix ? 1 : 0);
        bytes[at + 3] = (byte)(removeExtra ? 1 : 0);
        return SentencePieceFile(bytes);
    }

    /// <summary>The same vocabulary as lists, as a GGUF file carries it.</summary>
    public static TokenizerData SentencePieceLists()
    {
        var vocabulary = SentencePieceVocabulary.Create(SentencePieceFile());
        return new TokenizerData
        {
            Kind = TokenizerKind.SentencePiece,
            Source = "lists",
            Tokens = vocabulary.Pieces,
            Scores = vocabulary.Scores,
            Types = [.. vocabulary.Types.Select(t => (int)t)],
            BosId = 1,
            EosIds = [2],
            UnknownId = 0,
            AddBos = true,
        };
    }

    /// <summary>
    /// Byte-level BPE: 256 bytes, then <paramref name="merges"/> merges of the most frequent neighbours in <paramref name="words"/>, then the special tokens
    /// "&lt;|begin|&gt;", "&lt;|end|&gt;" (control) and "&lt;think&gt;" (user-defined).
    /// </summary>
    public static TokenizerData TrainByteLevel(IEnumerable<string> words, int merges, string? pattern = null)
    {
        var tokens = Enumerable.Range(0, 256).Select(b => ByteAlphabet.Char((byte)b).ToString()).ToList();
        var rules = new List<string>();
        var corpus = words.Select(w => Encoding.UTF8.GetBytes(w).Select(b => ByteAlphabet.Char(b).ToString()).ToList()).ToList();
        while (rules.Count < merges)
        {
            var best = corpus.SelectMany(w => w.Zip(w.Skip(1))).GroupBy(p => p).MaxBy(g => g.Count());
            if (best is null || best.Count() < 2) break;
            var (left, right) = best.Key;
            rules.Add($"{left} {right}");
            tokens.Add(left + right);
            foreach (var word in corpus) Apply(word, left, right);
        }
        int special = tokens.Count;
        tokens.AddRange(["<|begin|>", "<|end|>", "<think>"]);
        return new TokenizerData
        {
            Kind = TokenizerKind.ByteLevelBpe,
            Source = "trained here",
            Tokens = tokens,
            Types = [.. Enumerable.Repeat(1, special), 3, 3, 4],
            Merges = rules,
            SpecialTokens = new Dictionary<string, int> { ["<|begin|>"] = special, ["<|end|>"] = special + 1, ["<think>"] = special + 2 },
            SplitPattern = pattern,
            BosId = special,
            EosIds = [special + 1],
            AddBos = true,
        };
    }

    /// <summary>Joins every <paramref name="left"/>, <paramref name="right"/> in the word, from the left.</summary>
    public static void Apply(List<string> word, string left, string right)
    {
        for (int i = 0; i + 1 < word.Count; i++)
        {
            if (word[i] != left || word[i + 1] != right) continue;
            word[i] = left + right;
            word.RemoveAt(i + 1);
        }
    }
}
