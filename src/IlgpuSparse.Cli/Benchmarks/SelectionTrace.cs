using System.Text;
using IlgpuSparse.Attention;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>The tokens that every layer and kv head of a model selected in consecutive decode steps behind a prompt: input of measured locality for <c>bench offload --replay</c>.</summary>
internal sealed class SelectionTrace
{
    private const int Magic = 0x31545349; // "IST1"

    private readonly List<int[][]> _steps = [];

    /// <summary>Starts empty.</summary>
    public SelectionTrace(string attention, int prompt, int layers, int heads) => (Attention, Prompt, Layers, Heads) = (attention, prompt, layers, heads);

    /// <summary>The attention that selected.</summary>
    public string Attention { get; }

    /// <summary>Tokens of the prompt: the first step's position.</summary>
    public int Prompt { get; }

    /// <summary>Layers.</summary>
    public int Layers { get; }

    /// <summary>Lists a layer.</summary>
    public int Heads { get; }

    /// <summary>Steps so far.</summary>
    public int Steps => _steps.Count;

    /// <summary>Longest list.</summary>
    public int Room => _steps.Max(step => step.Max(list => list.Length));

    /// <summary>The ascending tokens of one list.</summary>
    public IReadOnlyList<int> this[int step, int layer, int head] => _steps[step][layer * Heads + head];

    /// <summary>Adds a step's lists <c>[layer · head]</c>, in any order of tokens.</summary>
    /// <exception cref="ArgumentException">Other numbers of lists, or a token that is not there yet or is repeated.</exception>
    public void Add(int[][] lists)
    {
        if (lists.Length != Layers * Heads) throw new ArgumentException($"{lists.Length} lists, expected {Layers} layers of {Heads}", nameof(lists));
        int[][] sorted = [.. lists.Select(list => list.Order().ToArray())];
        foreach (int[] list in sorted)
            if (list.Length == 0 || list[0] < 0 || list[^1] > Prompt + Steps || list.Zip(list.Skip(1)).Any(pair => pair.First == pair.Second))
                throw new ArgumentException($"a list of step {Steps} is empty, or has a token twice or outside 0 to {Prompt + Steps}", nameof(lists));
        _steps.Add(sorted);
    }

    /// <summary>Share of the tokens that the same list had in the step before.</summary>
    public double Overlap => Enumerable.Range(1, Math.Max(0, Steps - 1)).SelectMany(step => _steps[step].Zip(_steps[step - 1], (now, before) => (double)now.Intersect(before).Count() / now.Length)).DefaultIfEmpty().Average();

    /// <summary>Writes it. The file appears whole or not at all.</summary>
    public void Save(string path)
    {
        string temporary = path + ".partial";
        using (var writer = new BinaryWriter(File.Create(temporary), Encoding.UTF8))
        {
            writer.Write(Magic);
            writer.Write(Attention);
            foreach (int number in new[] { Prompt, Layers, Heads, Steps }) writer.Write(number);
            foreach (int[] list in _steps.SelectMany(step => step))
            {
                writer.Write7BitEncodedInt(list.Length);
                for (int i = 0; i < list.Length; i++) writer.Write7BitEncodedInt(list[i] - (i > 0 ? list[i - 1] : 0));
            }
        }
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <exception cref="FormatException">It is something else, or damaged.</exception>
    public static SelectionTrace Load(string path)
    {
        using var reader = new BinaryReader(File.OpenRead(path), Encoding.UTF8);
        try
        {
            if (reader.ReadInt32() != Magic) throw new FormatException($"{path} holds no recorded selections: make some with 'bench offload --record'");
            string attention = reader.ReadString();
            int prompt = reader.ReadInt32(), layers = reader.ReadInt32(), heads = reader.ReadInt32(), steps = reader.ReadInt32();
            if (prompt is < 1 or > 1 << 24 || layers is < 1 or > 1024 || heads is < 1 or > 1024 || steps is < 1 or > 1 << 16) throw new FormatException($"{path} is damaged: a prompt of {prompt} tokens, {steps} steps of {layers} layers of {heads} lists");
            var trace = new SelectionTrace(attention, prompt, layers, heads);
            AttentionOptions.Parse(attention);
            for (int step = 0; step < steps; step++)
            {
                var lists = new int[layers * heads][];
                for (int i = 0; i < lists.Length; i++)
                {
                    int count = reader.Read7BitEncodedInt();
                    if (count < 1 || count > prompt + step + 1) throw new FormatException($"{path} is damaged: a list of {count} tokens in step {step}");
                    lists[i] = new int[count];
                    for (int j = 0, token = 0; j < count; j++) lists[i][j] = token = checked(token + reader.Read7BitEncodedInt());
                }
                trace.Add(lists);
            }
            if (reader.BaseStream.Position != reader.BaseStream.Length) throw new FormatException($"{path} is damaged: something follows the last step");
            return trace;
        }
        catch (Exception e) when (e is EndOfStreamException or ArgumentException or OverflowException)
        {
            throw new FormatException($"{path} is damaged: {e.Message}", e);
        }
    }
}
