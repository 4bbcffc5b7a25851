using System.Text.Json;

namespace IlgpuSparse.Model;

/// <summary>The regular expression that the <c>pre_tokenizer</c> of a byte-level <c>tokenizer.json</c> amounts to.</summary>
internal static class HuggingFaceSplit
{
    /// <summary>
    /// Understands what models in use have: ByteLevel with GPT-2's expression, that after single digits, or one Split by an expression followed by ByteLevel without one.
    /// </summary>
    /// <exception cref="ModelFormatException">Anything else.</exception>
    public static string Pattern(JsonFile json)
    {
        var steps = Steps(json);
        string kinds = string.Join(", ", steps.Select(s => s.FindString("type") ?? "?"));
        var last = steps.Count > 0 ? steps[^1] : null;
        if (last?.FindString("type") != "ByteLevel") throw json.Bad($"the pre_tokenizer [{kinds}] is not supported; supported are those that end in ByteLevel");
        if (last.FindBool("add_prefix_space") ?? true) throw json.Bad("a ByteLevel pre_tokenizer with add_prefix_space is not supported");
        bool gpt2 = last.FindBool("use_regex") ?? true;
        return kinds switch
        {
            "ByteLevel" when gpt2 => SplitPatterns.Gpt2,
            "Digits, ByteLevel" when gpt2 && (steps[0].FindBool("individual_digits") ?? false) => SplitPatterns.Gpt2Digits,
            "Split, ByteLevel" when !gpt2 => Split(steps[0]),
            _ => throw json.Bad($"the pre_tokenizer [{kinds}] with use_regex {(gpt2 ? "true" : "false")} is not supported"),
        };
    }

    private static List<JsonFile> Steps(JsonFile json)
    {
        if (json.FindObject("pre_tokenizer") is not { } root) return [];
        if (root.FindString("type") != "Sequence") return [root];
        return root.Find("pretokenizers") is { ValueKind: JsonValueKind.Array } list
            ? [.. list.EnumerateArray().Select((step, i) => root.Object(step, $"pretokenizers[{i}]"))]
            : throw json.Bad("the pre_tokenizer has no list 'pretokenizers'");
    }

    private static string Split(JsonFile step)
    {
        string behaviour = step.FindString("behavior") ?? "";
        bool invert = step.FindBool("invert") ?? false;
        // Removing what lies between the matches, or keeping it as words of its own, is the same for expressions that match everything, as these do.
        if (!(behaviour == "Isolated" || (behaviour == "Removed" && invert))) throw step.Bad($"a Split pre_tokenizer with behaviour '{behaviour}' is not supported; supported is Isolated");
        return step.FindObject("pattern")?.FindString("Regex") ?? throw step.Bad("the Split pre_tokenizer has no regular expression");
    }
}
