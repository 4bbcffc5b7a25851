namespace IlgpuSparse.Evaluation;

/// <summary>
/// Text with facts to retrieve, made from a seed: the tasks <c>lines</c> and <c>passkey</c> that the default model was trained on and that evaluations ask. The parts of a text are
/// tokenised one by one and joined as ids. Calibration needs such text: channels that carry a key's identity hardly vary in prose.
/// </summary>
public sealed class RetrievalText
{
    private static readonly string[] s_adjectives = ("amber brave calm dusty eager faint gentle hollow icy jolly keen lucid mellow noble odd proud quiet rusty silent tidy urgent vivid wild young zealous "
        + "bitter clever distant elder fragile").Split(' ');

    private static readonly string[] s_nouns = ("anchor bridge candle door engine forest garden harbor island jewel kettle lantern mirror needle oven pillow quill river stable tower umbrella valley window yard "
        + "zebra basket castle desert eagle falcon").Split(' ');

    private readonly Func<string, int[]> _encode;
    private readonly Random _random;

    /// <summary>Prepares to make texts from <paramref name="seed"/> with a tokenizer that adds no special tokens.</summary>
    public RetrievalText(Func<string, int[]> encode, int seed)
    {
        _encode = encode;
        _random = new Random(seed);
    }

    /// <summary>
    /// Records of lines until <paramref name="length"/> tokens are full, and <paramref name="questions"/> about them.
    /// </summary>
    public (int[] Context, RetrievalQuestion[] Questions) Lines(int length, int questions)
    {
        var context = new List<int>(_encode("Below is a record of lines. Remember them.\n"));
        var facts = new List<(string Name, string Number)>();
        var used = new HashSet<string>();
        while (used.Count < s_adjectives.Length * s_nouns.Length)
        {
            string name = $"{Pick(s_adjectives)}-{Pick(s_nouns)}";
            if (!used.Add(name)) continue;
            string number = Number();
            int[] line = _encode($"line {name}: REGISTER_CONTENT is <{number}>\n");
            if (context.Count + line.Length > length) break;
            context.AddRange(line);
            facts.Add((name, number));
        }
        if (facts.Count == 0) throw new ArgumentException($"no line fits into {length} tokens", nameof(length));
        var asked = Enumerable.Range(0, questions).Select(_ => facts[_random.Next(facts.Count)])
            .Select(f => new RetrievalQuestion(_encode($"\nThe REGISTER_CONTENT in line {f.Name} is <"), [.. _encode(f.Number), .. _encode(">.")])).ToArray();
        return ([.. context], asked);
    }

    /// <summary>A pass key hidden at a random depth of <paramref name="prose"/>, filled to <paramref name="length"/> tokens, and the question for it.</summary>
    public (int[] Context, RetrievalQuestion Question) PassKey(ReadOnlySpan<int> prose, int length)
    {
        string name = $"{Pick(s_adjectives)} {Pick(s_nouns)}", number = Number();
        int[] needle = _encode($"\nThe pass key of the {name} is {number}. Remember it: {number} is the pass key of the {name}.\n");
        int room = Math.Min(length - needle.Length, prose.Length);
        if (room < 1) throw new ArgumentException($"a pass key needs more than {needle.Length} tokens, got {length}", nameof(length));
        int depth = _random.Next(room);
        int start = _random.Next(prose.Length - room + 1);
        int[] context = [.. prose.Slice(start, depth), .. needle, .. prose.Slice(start + depth, room - depth)];
        return (context, new RetrievalQuestion(_encode($"\nWhat is the pass key of the {name}? The pass key of the {name} is"), [.. _encode(number), .. _encode(".")]));
    }

    private string Pick(string[] words) => words[_random.Next(words.Length)];

    private string Number() => _random.Next(10000, 100000).ToString();
}
