using System.Text.Json;

namespace IlgpuSparse.Model;

/// <summary>
/// Reads <see cref="TokenizerData"/> from <c>tokenizer.model</c>, <c>tokenizer.json</c> and <c>tokenizer_config.json</c>. A SentencePiece tokenizer is read from <c>tokenizer.model</c>:
/// what transformers writes into <c>tokenizer.json</c> for it is a conversion that has lost the scores.
/// </summary>
internal static class HuggingFaceTokenizer
{
    private const long LargestSentencePiece = 64L << 20;
    private const long LargestTemplate = 4L << 20;

    /// <summary>The tokenizer of a directory, or null when it has none.</summary>
    /// <exception cref="ModelFormatException">Damaged, or of a kind that is not supported.</exception>
    public static TokenizerData? Read(string directory, LlamaConfig config)
    {
        string piecesPath = Path.Combine(directory, "tokenizer.model"), jsonPath = Path.Combine(directory, "tokenizer.json");
        using var settings = JsonFile.OpenIfPresent(Path.Combine(directory, "tokenizer_config.json"));
        using var json = JsonFile.OpenIfPresent(jsonPath);
        // Llama 3 repositories may carry a tokenizer.model that is not SentencePiece but tiktoken's; tokenizer.json decides.
        bool byteFallback = json?.FindObject("model")?.FindBool("byte_fallback") ?? false;
        var data = json is not null && !(byteFallback && File.Exists(piecesPath))
            ? ReadByteLevel(json, config, byteFallback)
            : File.Exists(piecesPath) ? ReadSentencePiece(piecesPath, json, config, settings) : null;
        if (data is null) return null;

        int? bos = data.BosId ?? Named(settings, "bos_token", data) ?? config.BosId;
        int? eos = Named(settings, "eos_token", data);
        return data with
        {
            BosId = bos,
            EosIds = config.EosIds.Count > 0 || eos is null ? config.EosIds : [eos.Value],
            AddBos = bos is not null && (settings?.FindBool("add_bos_token") ?? data.AddBos),
            ChatTemplate = ChatTemplate(directory, settings),
        };
    }

    private static TokenizerData ReadSentencePiece(string path, JsonFile? json, LlamaConfig config, JsonFile? settings)
    {
        long length = new FileInfo(path).Length;
        if (length is 0 or > LargestSentencePiece) throw new ModelFormatException(path, $"has {length} bytes, a SentencePiece model has between 1 and {LargestSentencePiece}");
        return new TokenizerData
        {
            Kind = TokenizerKind.SentencePiece,
            Source = path,
            SentencePieceModel = File.ReadAllBytes(path),
            SpecialTokens = json is not null ? AddedTokens(json, config).ToDictionary(t => t.Text, t => t.Id) : DecoderTokens(settings, config).ToDictionary(t => t.Text, t => t.Id),
            AddBos = true,
            AddSpacePrefix = settings?.FindBool("add_prefix_space") ?? true,
        };
    }

    private static TokenizerData ReadByteLevel(JsonFile json, LlamaConfig config, bool byteFallback)
    {
        var model = json.FindObject("model") ?? throw json.Bad("has no 'model'");
        string type = model.FindString("type") ?? "BPE";
        if (type != "BPE") throw json.Bad($"the tokenizer model '{type}' is not supported; supported is BPE");
        if (byteFallback) throw json.Bad("is a SentencePiece tokenizer; the file tokenizer.model is needed beside it");
        var vocabulary = model.FindObject("vocab") ?? throw json.Bad("has no 'model.vocab'");
        var added = AddedTokens(json, config);

        var tokens = new List<string>();
        foreach (var entry in vocabulary.Root.EnumerateObject())
        {
            if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id) || id < 0 || id >= config.VocabularySize)
                throw json.Bad($"the token '{entry.Name}' has the id {entry.Value.GetRawText()}, the model has {config.VocabularySize} ids");
            Place(id, entry.Name);
        }
        foreach (var (text, id, _) in added) Place(id, text);
        int[] types = [.. tokens.Select(t => (int)(t.Length == 0 ? TokenType.Unused : TokenType.Normal))];
        foreach (var (_, id, special) in added) types[id] = (int)(special ? TokenType.Control : TokenType.UserDefined);

        int? bos = TemplateStart(json, json.FindObject("post_processor"), added);
        string? unknown = model.FindString("unk_token");
        return new TokenizerData
        {
            Kind = TokenizerKind.ByteLevelBpe,
            Source = json.Path,
            Tokens = tokens,
            Types = types,
            Merges = Merges(json, model),
            SpecialTokens = added.ToDictionary(t => t.Text, t => t.Id),
            ComposeCharacters = Composes(json),
            SplitPattern = HuggingFaceSplit.Pattern(json),
            IgnoreMerges = model.FindBool("ignore_merges") ?? false,
            BosId = bos,
            AddBos = bos is not null,
            AddSpacePrefix = false,
            UnknownId = unknown is null || tokens.IndexOf(unknown) is not (>= 0 and int at) ? null : at,
        };

        void Place(int id, string text)
        {
            while (tokens.Count <= id) tokens.Add("");
            tokens[id] = text;
        }
    }

    /// <summary>The id that the post-processor puts before a text, or null.</summary>
    private static int? TemplateStart(JsonFile json, JsonFile? processor, List<AddedToken> added)
    {
        if (processor?.FindString("type") == "Sequence" && processor.Find("processors") is { ValueKind: JsonValueKind.Array } list)
            return list.EnumerateArray().Select((p, i) => TemplateStart(json, processor.Object(p, $"processors[{i}]"), added)).FirstOrDefault(id => id is not null);
        if (processor?.FindString("type") != "TemplateProcessing") return null;
        if (processor.Find("single") is not { ValueKind: JsonValueKind.Array } single || single.GetArrayLength() == 0) return null;
        string? name = processor.Object(single[0], "single[0]").FindObject("SpecialToken")?.FindString("id");
        if (name is null) return null;
        return added.Find(t => t.Text == name)?.Id ?? throw json.Bad($"the post_processor begins with '{name}', which is not among the added_tokens");
    }

    /// <summary>Whether the normalizer is NFC (Qwen 2), alone or in a sequence; an empty sequence does nothing.</summary>
    private static bool Composes(JsonFile json)
    {
        if (json.FindObject("normalizer") is not { } root) return false;
        JsonFile[] steps = root.FindString("type") != "Sequence" ? [root]
            : root.Find("normalizers") is { ValueKind: JsonValueKind.Array } list ? [.. list.EnumerateArray().Select((step, i) => root.Object(step, $"normalizers[{i}]"))]
            : throw json.Bad("the normalizer has no list 'normalizers'");
        foreach (var step in steps)
        {
            if (step.FindString("type") is var type && type != "NFC") throw json.Bad($"the normalizer '{type}' is not supported; supported are none and NFC");
        }
        return steps.Length > 0;
    }

    private static List<string> Merges(JsonFile json, JsonFile model)
    {
        if (model.Find("merges") is not { ValueKind: JsonValueKind.Array } list) throw json.Bad("has no list 'model.merges'");
        var merges = new List<string>(list.GetArrayLength());
        foreach (var merge in list.EnumerateArray())
        {
            // "left right", and since 2024 ["left", "right"]; pieces in the byte alphabet hold no spaces.
            string text = merge.ValueKind == JsonValueKind.Array ? string.Join(' ', merge.EnumerateArray().Select(json.Text)) : json.Text(merge);
            int space = text.IndexOf(' ');
            if (space <= 0 || space == text.Length - 1 || text.LastIndexOf(' ') != space) throw json.Bad($"merge {merges.Count} is '{text}', it must be two pieces");
            merges.Add(text);
        }
        return merges;
    }

    private static List<AddedToken> AddedTokens(JsonFile json, LlamaConfig config) => json.Find("added_tokens") switch
    {
        null => [],
        { ValueKind: JsonValueKind.Array } list => Distinct(json, config, list.EnumerateArray().Select((token, i) =>
        {
            var entry = json.Object(token, $"added_tokens[{i}]");
            return (entry, entry.Integer("id"));
        })),
        _ => throw json.Bad("'added_tokens' is not a list"),
    };

    /// <summary>The same list where there is no tokenizer.json: objects by id.</summary>
    private static List<AddedToken> DecoderTokens(JsonFile? settings, LlamaConfig config) => settings?.FindObject("added_tokens_decoder") is not { } tokens
        ? []
        : Distinct(settings, config, tokens.Root.EnumerateObject().Select(token =>
            (tokens.Object(token.Value, token.Name), int.TryParse(token.Name, out int id) ? id : throw settings.Bad($"the added token id '{token.Name}' is not a number"))));

    private static List<AddedToken> Distinct(JsonFile file, LlamaConfig config, IEnumerable<(JsonFile Entry, int Id)> entries)
    {
        var tokens = new Dictionary<string, AddedToken>();
        foreach (var (entry, id) in entries)
        {
            string text = entry.FindString("content") ?? throw file.Bad($"the added token {id} has no 'content'");
            if (id < 0) throw file.Bad($"the added token '{text}' has the id {id}");
            // Tokens added after training, for which the embedding has no row, could not be fed to the model.
            if (id < config.VocabularySize && text.Length > 0) tokens.TryAdd(text, new AddedToken(text, id, entry.FindBool("special") ?? false));
        }
        return [.. tokens.Values];
    }

    private static int? Named(JsonFile? settings, string key, TokenizerData data)
    {
        string? text = settings?.Find(key)?.ValueKind == JsonValueKind.Object ? settings.FindObject(key)!.FindString("content") : settings?.FindString(key);
        if (text is null) return null;
        if (data.SpecialTokens.TryGetValue(text, out int id)) return id;
        for (int i = 0; i < data.Tokens.Count; i++)
        {
            if (data.Tokens[i] == text) return i;
        }
        return null;
    }

    private static string? ChatTemplate(string directory, JsonFile? settings)
    {
        string path = Path.Combine(directory, "chat_template.jinja");
        if (File.Exists(path))
        {
            long length = new FileInfo(path).Length;
            return length <= LargestTemplate ? File.ReadAllText(path) : throw new ModelFormatException(path, $"has {length} bytes, the limit is {LargestTemplate}");
        }
        if (settings?.Find("chat_template") is not { ValueKind: JsonValueKind.Array } named) return settings?.FindString("chat_template");
        // Several by name: [{"name": "default", "template": "..."}, ...]
        var all = named.EnumerateArray().Select((t, i) => settings.Object(t, $"chat_template[{i}]")).ToList();
        return (all.Find(t => t.FindString("name") == "default") ?? all.FirstOrDefault())?.FindString("template");
    }
}
