using IlgpuSparse.Attention;
using IlgpuSparse.Calibration;
using IlgpuSparse.Chat;
using IlgpuSparse.Compute;
using IlgpuSparse.Generation;
using IlgpuSparse.Llama;
using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>Records what the model that travels with the tool selects while it continues its text, on any backend.</summary>
internal static class SelectionRecorder
{
    /// <summary>Steps that are recorded, as many as a replay with a few samples takes.</summary>
    public const int Steps = 160;

    /// <summary>Prefills the text and decodes <see cref="Steps"/> sampled tokens.</summary>
    public static SelectionTrace Record(ComputeBackend backend, AttentionOptions attention, int seed, CancellationToken cancellation)
    {
        using var model = ModelFile.Open(EmbeddedModel.ModelPath);
        using var weights = LlamaWeights.Load(backend, model);
        int[] prompt = TextTokenizer.Create(model.Tokenizer!).Encode(File.ReadAllText(EmbeddedModel.PromptPath));
        var options = new DecoderOptions { Capacity = prompt.Length + Steps, Attention = attention, Channels = ChannelMap.Load(ChannelMapFile.Find(EmbeddedModel.ModelPath)!) };
        using var decoder = new LlamaDecoder(backend, weights, options);
        return Record(decoder, prompt, Steps, new Sampler(SamplingOptions.Greedy with { Temperature = 0.7f, TopP = 0.9f, Seed = (ulong)seed }), cancellation);
    }

    /// <summary>Records <paramref name="steps"/> tokens behind <paramref name="prompt"/>.</summary>
    public static SelectionTrace Record(LlamaDecoder decoder, int[] prompt, int steps, Sampler sampler, CancellationToken cancellation)
    {
        var sets = decoder.Policy.Selection ?? throw new ArgumentException($"{decoder.Policy.Description} selects nothing to be recorded");
        var c = decoder.Config;
        if (sets.Sets != c.KvHeads) throw new ArgumentException($"{decoder.Policy.Description} has sets for heads; selections are recorded of sets for kv heads");
        var trace = new SelectionTrace(decoder.Options.Attention.ToString(), prompt.Length, c.Layers, c.KvHeads);
        var lists = new int[c.Layers * c.KvHeads][];
        using var sequence = decoder.NewSequence();
        int token = sampler.Next(decoder.Prefill(sequence, prompt, cancellation: cancellation));
        decoder.Attended = (layer, batch, _, _) =>
        {
            var selected = decoder.Policy.SetsOf(layer, batch) ?? throw new ArgumentException($"layer {layer} of {decoder.Policy.Description} is dense: selections are recorded of all layers");
            selected.ToLists(0, 1).CopyTo(lists, layer * c.KvHeads);
        };
        try
        {
            for (int step = 0; step < steps; step++)
            {
                cancellation.ThrowIfCancellationRequested();
                token = sampler.Next(decoder.Decode([sequence], [token]));
                trace.Add(lists);
            }
        }
        finally
        {
            decoder.Attended = null;
        }
        return trace;
    }
}
