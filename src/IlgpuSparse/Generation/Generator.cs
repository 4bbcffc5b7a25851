using System.Diagnostics;
using System.Runtime;
using System.Runtime.InteropServices;
using IlgpuSparse.Cache;
using IlgpuSparse.Llama;

namespace IlgpuSparse.Generation;

/// <summary>Continues token sequences with a <see cref="LlamaDecoder"/>. One generator holds one sequence and can be asked to go on.</summary>
public sealed class Generator(LlamaDecoder decoder) : IDisposable
{
    private readonly CacheSequence _sequence = decoder.NewSequence();
    private readonly List<int> _tokens = []; // those in the cache, then those drawn and not appended
    private bool _resumed;

    /// <summary>Times and bytes of the generation in progress or just ended.</summary>
    public GenerationStatistics Statistics { get; private set; } = new();

    /// <summary>Tokens in the cache.</summary>
    public int Length => _sequence.Length;

    /// <summary>
    /// Appends <paramref name="prompt"/> and yields the tokens of its continuation as they are drawn, until a stop id, <see cref="GenerationOptions.MaxTokens"/>, or a full cache.
    /// </summary>
    /// <param name="prompt">At least one token.</param>
    /// <param name="options">What to generate.</param>
    /// <param name="prefillProgress">Told the number of prompt tokens done.</param>
    /// <param name="cancellation">Ends the enumeration with <see cref="OperationCanceledException"/>; <see cref="Statistics"/> then tell what was done.</param>
    /// <exception cref="ArgumentException">The prompt is empty or does not fit the cache, or options are outside their ranges.</exception>
    public IEnumerable<int> Generate(int[] prompt, GenerationOptions options, Action<int>? prefillProgress = null, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.MaxTokens, nameof(options));
        var sampler = new Sampler(options.Sampling);
        if (prompt.Length == 0) throw new ArgumentException("a prompt needs at least one token", nameof(prompt));
        if (_sequence.Length + prompt.Length > decoder.Cache.Capacity)
            throw new ArgumentException($"the prompt of {prompt.Length:N0} tokens does not fit the cache of {decoder.Cache.Capacity:N0}: ask for a longer context (--context)", nameof(prompt));
        return Run(prompt, options, sampler, prefillProgress, cancellation);
    }

    /// <summary>Writes the tokens so far with their K, V and labels to <paramref name="path"/>, for <see cref="LoadState"/>; the last one drawn, which is not in the cache, comes along.</summary>
    /// <param name="path">A file of that name is replaced once all is written.</param>
    /// <param name="fingerprint">The weights' (<see cref="Model.ModelFile.Fingerprint"/>).</param>
    /// <exception cref="InvalidOperationException">There is nothing to save.</exception>
    /// <exception cref="NotSupportedException">The attention keeps what cannot be saved.</exception>
    public void SaveState(string path, string fingerprint)
    {
        if (_sequence.Length == 0) throw new InvalidOperationException("there is no sequence to save");
        var tokens = CollectionsMarshal.AsSpan(_tokens);
        SequenceState.Save(decoder, _sequence, fingerprint, tokens[.._sequence.Length], tokens[_sequence.Length..], path);
    }

    /// <summary>Takes up the sequence that <see cref="SaveState"/> wrote. Returns the tokens that were drawn and are not in the cache: a prompt that goes on from there begins with them.</summary>
    /// <exception cref="Model.ModelFormatException">The file is damaged, or of another model, format or attention.</exception>
    /// <exception cref="InvalidOperationException">The generator has a sequence already, or the cache is too small.</exception>
    public IReadOnlyList<int> LoadState(string path, string fingerprint)
    {
        var header = SequenceState.Load(decoder, _sequence, fingerprint, path);
        _tokens.Clear();
        _tokens.AddRange(header.Tokens);
        _resumed = true;
        return header.Pending;
    }

    private IEnumerable<int> Run(int[] prompt, GenerationOptions options, Sampler sampler, Action<int>? prefillProgress, CancellationToken cancellation)
    {
        var statistics = Statistics = new GenerationStatistics { WeightBytesPerToken = decoder.Weights.BytesReadPerToken };
        sampler.Observe(prompt);
        double prepared = decoder.PreparationSeconds, calibrated = decoder.Policy.CalibrationSeconds;
        int maps = decoder.Policy.CalibratedMaps;
        _tokens.RemoveRange(_sequence.Length, _tokens.Count - _sequence.Length);
        _tokens.AddRange(prompt);
        long start = Stopwatch.GetTimestamp();
        var sequences = new[] { _sequence };
        // what was drawn before a state was saved is a step like any other: dense attention would answer otherwise
        bool step = _resumed && prompt.Length == 1;
        _resumed = false;
        int token = sampler.Next(step ? decoder.Decode(sequences, prompt) : decoder.Prefill(_sequence, prompt, done =>
        {
            statistics.PromptTokens = done;
            statistics.PrefillSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            prefillProgress?.Invoke(done);
        }, cancellation));
        statistics.PromptTokens = prompt.Length;
        double preparation = decoder.PreparationSeconds - prepared;
        statistics.PrefillSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds - preparation;
        statistics.PreparationSeconds = preparation;
        prepared = decoder.PreparationSeconds;
        // only the host knows the text that a penalty needs
        using var queue = decoder.QueuesSteps && options.Sampling.RepetitionPenalty == 1 && options.MaxTokens > 1
            ? decoder.Queue(_sequence, token, options.Sampling, drawn: 1, options.MaxTokens - 1) : null;
        var host = decoder.Cache as HostKvCache;
        var counted = host?.Counts();
        long before = 0;
        double busy = 0;
        try
        {
            while (statistics.NewTokens < options.MaxTokens && !options.StopIds.Contains(token))
            {
                statistics.NewTokens++;
                _tokens.Add(token);
                yield return token;
                if (statistics.NewTokens == options.MaxTokens || _sequence.Length == decoder.Cache.Capacity) yield break;
                cancellation.ThrowIfCancellationRequested();
                int position = _sequence.Length;
                // queued steps run while the caller looks at a token, so that his time counts, too
                if (queue is null || before == 0) (before, busy) = (Stopwatch.GetTimestamp(), BusySeconds());
                token = queue?.Next() ?? sampler.Next(decoder.Decode(sequences, [token]));
                long after = Stopwatch.GetTimestamp();
                preparation = decoder.PreparationSeconds - prepared;
                prepared += preparation;
                statistics.PreparationSeconds += preparation;
                statistics.CalibrationSeconds = decoder.Policy.CalibrationSeconds - calibrated;
                statistics.CalibratedMaps = decoder.Policy.CalibratedMaps - maps;
                statistics.DecodeSeconds += Stopwatch.GetElapsedTime(before, after).TotalSeconds - preparation;
                // a step with preparation says nothing about those without
                double used = BusySeconds() - busy;
                if (preparation == 0) statistics.NoteSteady(Stopwatch.GetElapsedTime(before, after).TotalSeconds, used);
                busy += used;
                before = after;
                statistics.CountStep(decoder, position);
            }
        }
        finally
        {
            if (host is not null) statistics.Offload = host.Counts().Since(counted!.Value);
        }
    }

    // of all threads but the one that makes better code of methods that are called often
    private static double BusySeconds() => (Environment.CpuUsage.TotalTime - JitInfo.GetCompilationTime()).TotalSeconds;

    /// <summary>Gives the sequence's blocks back to the cache; the decoder stays.</summary>
    public void Dispose() => _sequence.Dispose();
}
