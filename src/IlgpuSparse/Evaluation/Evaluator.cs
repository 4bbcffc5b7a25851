using IlgpuSparse.Attention;
using IlgpuSparse.Attention.Policies;
using IlgpuSparse.Cache;
using IlgpuSparse.Compute;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Evaluation;

/// <summary>
/// Asks the questions of items through a <see cref="LlamaDecoder"/>, teacher-forced, under several attentions. A context is prefilled once for all of them: they share K and V, and each keeps what it needs beside them.
/// </summary>
public sealed class Evaluator : IDisposable
{
    /// <summary>Tokens that pass through the decoder together, where the attention allows it: what is predicted is known, so only rounding tells that from one after the other.</summary>
    private const int RunTokens = 32;

    private readonly LlamaDecoder _decoder;
    private readonly AlternativePolicies _policies;
    private AttentionProbe? _probe;

    /// <summary>Builds the decoder and the policies.</summary>
    /// <param name="backend">Where it runs.</param>
    /// <param name="weights">The model.</param>
    /// <param name="options">Cache and channels; its attention is not looked at.</param>
    /// <param name="attentions">What is judged.</param>
    public Evaluator(ComputeBackend backend, LlamaWeights weights, DecoderOptions options, IReadOnlyList<AttentionOptions> attentions)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(attentions);
        AlternativePolicies? policies = null;
        _decoder = new LlamaDecoder(backend, weights, options with { MaxSequences = RunTokens },
            (cache, resolved) => policies = new AlternativePolicies(attentions, cache.Capacity, a => a.Create(backend, weights.Config, cache, resolved)));
        _policies = policies!;
    }

    /// <summary>Every how manieth step is looked at for <see cref="ItemResult.Fidelity"/>, beginning at a place that the name of an item decides; 0 for none. Looking takes a few times as long as a step.</summary>
    public int LookEvery { get; init; }

    /// <summary>Bytes that attention <paramref name="index"/> keeps a cached token beside K and V, over all layers.</summary>
    public long AuxiliaryBytesPerToken(int index) => _policies[index].AuxiliaryBytesPerToken;

    /// <summary>What attention <paramref name="index"/> needs to keep of a context of <paramref name="length"/> tokens over K and V of all of them: both that the method keeps, and what it keeps beside them.</summary>
    public double MemoryShare(int index, int length) => _policies[index].KeptShare(length) * (1 + (double)AuxiliaryBytesPerToken(index) / KvCache.BytesPerToken(_decoder.Config, _decoder.Options.KvFormat));

    /// <summary>Prefills the context of <paramref name="item"/> and asks its questions under each of <paramref name="which"/>, indices into the constructor's attentions.</summary>
    /// <param name="item">Context and questions.</param>
    /// <param name="setup">Where sparse attention begins.</param>
    /// <param name="which">Attentions to judge.</param>
    /// <param name="finished">Told of every result as it is there: (index of the attention, result).</param>
    /// <param name="progress">Told how many tokens went through the model.</param>
    /// <param name="cancellation">Looked at between steps.</param>
    /// <exception cref="ArgumentException">The item does not fit the cache.</exception>
    public void Run(EvaluationItem item, EvaluationSetup setup, IEnumerable<int> which, Action<int, ItemResult> finished, Action<int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(item);
        ArgumentNullException.ThrowIfNull(which);
        ArgumentNullException.ThrowIfNull(finished);
        if (item.Capacity > _decoder.Cache.Capacity) throw new ArgumentException($"{item.Name} needs {item.Capacity:N0} tokens; the cache has {_decoder.Cache.Capacity:N0}", nameof(item));
        if (LookEvery > 0) _policies.Probe = _probe ??= new AttentionProbe(_decoder.Backend, _decoder.Config, _decoder.Cache);
        using var sequence = _decoder.NewSequence();
        _policies.SelectAll();
        int done = 0;
        _decoder.Prefill(sequence, item.Context, n =>
        {
            progress?.Invoke(n - done);
            done = n;
        }, cancellation);
        _policies.Mark();
        foreach (int index in which)
        {
            _policies.Select(index);
            _probe?.Take();
            _policies.TakeUnread();
            long steps = 0, read = 0, dense = 0, place = Place(item.Name);
            var results = new List<QuestionResult>();
            foreach (var question in item.Questions)
            {
                sequence.Rewind(item.Context.Length);
                _policies.Return();
                results.Add(Ask(question, setup, sequence, Look, Stepped, cancellation));
                progress?.Invoke(question.Tokens.Length + question.Answer.Length - 1);
            }
            finished(index, new ItemResult(results, steps, read - _policies.TakeUnread(), dense, _probe?.Take()));

            void Look(int rows)
            {
                if (_probe is not null) _probe.Rows = [.. Enumerable.Range(0, rows).Where(row => (steps + row + place) % LookEvery == 0)];
            }

            void Stepped(int position)
            {
                steps++;
                read += _policies.BytesRead(position);
                dense += _decoder.DenseBytesRead(position);
            }
        }
    }

    // The same number for the same name on every machine, unlike a string's own hash.
    private static long Place(string name)
    {
        uint hash = 2166136261;
        foreach (char c in name) hash = unchecked((hash ^ c) * 16777619);
        return hash;
    }

    private QuestionResult Ask(RetrievalQuestion question, EvaluationSetup setup, CacheSequence sequence, Action<int> looked, Action<int> stepped, CancellationToken cancellation)
    {
        var losses = new double[question.Answer.Length];
        bool right = true;
        // what goes through the attention, and after how many of it the first token of the answer is predicted
        int[] fed = question.Answer[..^1];
        int before = 0;
        if (setup == EvaluationSetup.A) Judge(_decoder.Prefill(sequence, question.Tokens, null, cancellation), 0);
        else
        {
            fed = [.. question.Tokens, .. fed];
            before = question.Tokens.Length;
        }
        int run = _policies.TakesRuns ? RunTokens : 1, vocabulary = _decoder.Config.VocabularySize;
        for (int start = 0; start < fed.Length; start += run)
        {
            cancellation.ThrowIfCancellationRequested();
            var tokens = fed.AsSpan(start, Math.Min(run, fed.Length - start));
            int position = sequence.Length;
            looked(tokens.Length);
            var logits = _decoder.DecodeRun(sequence, tokens);
            for (int i = 0; i < tokens.Length; i++)
            {
                stepped(position + i);
                int index = start + i + 1 - before;
                if (index >= 0) Judge(logits.Slice(i * vocabulary, vocabulary), index);
            }
        }
        return new QuestionResult(right, losses);

        void Judge(ReadOnlySpan<float> logits, int index)
        {
            int answer = question.Answer[index];
            float largest = float.NegativeInfinity;
            int best = -1;
            for (int id = 0; id < logits.Length; id++)
            {
                if (!(logits[id] > largest)) continue;
                largest = logits[id];
                best = id;
            }
            double sum = 0;
            foreach (float x in logits) sum += Math.Exp((double)x - largest);
            losses[index] = largest + Math.Log(sum) - logits[answer];
            right &= best == answer;
        }
    }

    /// <summary>Frees the decoder; the weights stay.</summary>
    public void Dispose()
    {
        _probe?.Dispose();
        _decoder.Dispose();
    }
}
