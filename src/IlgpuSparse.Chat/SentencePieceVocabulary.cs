using IlgpuSparse.Model;

namespace IlgpuSparse.Chat;

/// <summary>Pieces and settings of a SentencePiece BPE model, from a serialised model (<c>tokenizer.model</c>) or from the lists in a GGUF file.</summary>
internal sealed class SentencePieceVocabulary
{
    private SentencePieceVocabulary(string source, string[] pieces, float[] scores, PieceType[] types)
    {
        Source = source;
        Pieces = pieces;
        Scores = scores;
        Types = types;
    }

    /// <summary>The file, for messages.</summary>
    public string Source { get; }

    /// <summary>Pieces by id, spaces written as '▁'.</summary>
    public string[] Pieces { get; }

    /// <summary>Scores by id: of two possible merges the one with the higher score goes first.</summary>
    public float[] Scores { get; }

    /// <summary>Types by id.</summary>
    public PieceType[] Types { get; }

    /// <summary>Whether a space is put before the text.</summary>
    public bool AddSpacePrefix { get; private init; } = true;

    /// <summary>Whether spaces at the ends are dropped and runs of them become one.</summary>
    public bool RemoveExtraSpaces { get; private init; }

    /// <summary>Whether text without a piece is spelled in bytes.</summary>
    public bool ByteFallback { get; private init; }

    /// <summary>Id for text without a piece; -1 if there is none.</summary>
    public int UnknownId { get; private init; } = -1;

    /// <summary>Beginning of sequence; -1 if there is none.</summary>
    public int BosId { get; private init; } = -1;

    /// <summary>End of sequence; -1 if there is none.</summary>
    public int EosId { get; private init; } = -1;

    /// <summary>Takes whichever of the two forms <paramref name="data"/> has.</summary>
    /// <exception cref="ModelFormatException">The lists contradict each other, or the serialised model is damaged or not supported.</exception>
    public static SentencePieceVocabulary Create(TokenizerData data) => data.SentencePieceModel is { } model ? Parse(data.Source, model) : FromLists(data);

    private static SentencePieceVocabulary FromLists(TokenizerData data)
    {
        int count = data.Tokens.Count;
        if (data.Scores.Count != count)
            throw new ModelFormatException(data.Source, $"the tokenizer has {count} pieces but {data.Scores.Count} scores");
        if (data.Types.Count != 0 && data.Types.Count != count)
            throw new ModelFormatException(data.Source, $"the tokenizer has {count} pieces but {data.Types.Count} piece types");
        var types = new PieceType[count];
        for (int id = 0; id < count; id++) types[id] = data.Types.Count == 0 ? Guess(data.Tokens[id]) : Checked(data.Source, id, data.Types[id]);
        return new SentencePieceVocabulary(data.Source, [.. data.Tokens], [.. data.Scores], types)
        {
            AddSpacePrefix = data.AddSpacePrefix,
            ByteFallback = types.Contains(PieceType.Byte),
            UnknownId = data.UnknownId ?? Array.IndexOf(types, PieceType.Unknown),
            BosId = data.BosId ?? -1,
        };
    }

    /// <summary>Files without piece types can still be told apart by the customary spellings.</summary>
    private static PieceType Guess(string piece) => piece switch
    {
        "<unk>" => PieceType.Unknown,
        "<s>" or "</s>" => PieceType.Control,
        _ => PieceBytes.TryParseByte(piece, out _) ? PieceType.Byte : PieceType.Normal,
    };

    private static PieceType Checked(string source, int id, int type) =>
        type is >= (int)PieceType.Normal and <= (int)PieceType.Byte ? (PieceType)type : throw new ModelFormatException(source, $"piece {id} has the unknown type {type}");

    // Field numbers are those of sentencepiece_model.proto: ModelProto 1 pieces, 2 trainer_spec, 3 normalizer_spec.
    private static SentencePieceVocabulary Parse(string source, byte[] model)
    {
        var pieces = new List<string>();
        var scores = new List<float>();
        var types = new List<PieceType>();
        bool bpe = false, byteFallback = false, spacePrefix = true, removeExtra = true;
        int unknown = 0, bos = 1, eos = 2;
        var reader = new ProtobufReader(source, model);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1:
                    ReadPiece(source, reader.Bytes(), pieces, scores, types);
                    break;
                case 2:
                    var trainer = new ProtobufReader(source, reader.Bytes());
                    while (trainer.Next())
                    {
                        switch (trainer.Field)
                        {
                            case 3: bpe = trainer.Int32() == 2; break;
                            case 24 when trainer.Bool(): throw new ModelFormatException(source, "treat_whitespace_as_suffix is not supported");
                            case 35: byteFallback = trainer.Bool(); break;
                            case 40: unknown = trainer.Int32(); break;
                            case 41: bos = trainer.Int32(); break;
                            case 42: eos = trainer.Int32(); break;
                        }
                    }
                    break;
                case 3:
                    var normalizer = new ProtobufReader(source, reader.Bytes());
                    while (normalizer.Next())
                    {
                        switch (normalizer.Field)
                        {
                            case 2 when !normalizer.Bytes().IsEmpty: throw new ModelFormatException(source, "a character normalisation map (precompiled_charsmap) is not supported");
                            case 3: spacePrefix = normalizer.Bool(); break;
                            case 4: removeExtra = normalizer.Bool(); break;
                            case 5 when !normalizer.Bool(): throw new ModelFormatException(source, "escape_whitespaces = false is not supported");
                        }
                    }
                    break;
            }
        }
        if (pieces.Count == 0) throw new ModelFormatException(source, "not a SentencePiece model: it has no pieces");
        if (!bpe) throw new ModelFormatException(source, "a SentencePiece model of another type than BPE is not supported");
        return new SentencePieceVocabulary(source, [.. pieces], [.. scores], [.. types])
        {
            AddSpacePrefix = spacePrefix,
            RemoveExtraSpaces = removeExtra,
            ByteFallback = byteFallback,
            UnknownId = unknown,
            BosId = bos,
            EosId = eos,
        };
    }

    private static void ReadPiece(string source, ReadOnlySpan<byte> message, List<string> pieces, List<float> scores, List<PieceType> types)
    {
        string text = "";
        float score = 0;
        int type = (int)PieceType.Normal;
        var reader = new ProtobufReader(source, message);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case 1: text = reader.Text(); break;
                case 2: score = reader.Single(); break;
                case 3: type = reader.Int32(); break;
            }
        }
        types.Add(Checked(source, pieces.Count, type));
        pieces.Add(text);
        scores.Add(score);
    }
}
