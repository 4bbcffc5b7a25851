using IlgpuSparse.Llama;

namespace IlgpuSparse.Generation;

/// <summary>Steps of a text that has the device for itself, where they can follow one another without the host.</summary>
internal sealed class LoneSteps(LlamaDecoder decoder)
{
    private (ActiveText Text, StepQueue Steps)? _current;

    /// <summary>Whether nothing that <paramref name="text"/> asks for needs the host between steps.</summary>
    public bool CanTake(ActiveText text) => decoder.QueuesSteps && text.Request is { FullAttention: false, TraceAttention: false, TopLogProbabilities: null, Options.Sampling.RepetitionPenalty: 1 };

    /// <summary>The next token of <paramref name="text"/>.</summary>
    public int Next(ActiveText text)
    {
        if (_current?.Text != text)
        {
            End();
            _current = (text, decoder.Queue(text.Text.Sequence, text.Next, text.Request.Options.Sampling, text.Drawn, text.Request.Options.MaxTokens - text.Statistics.NewTokens));
        }
        return _current!.Value.Steps.Next();
    }

    /// <summary>Drops the steps that were computed ahead: the host goes on with the text.</summary>
    public void End()
    {
        if (_current is not { } current) return;
        _current = null;
        current.Steps.Dispose();
        current.Text.Sampler.SkipTo(current.Text.Drawn);
    }

    /// <summary><see cref="End"/>, if they are those of <paramref name="text"/>.</summary>
    public void EndOf(ActiveText text)
    {
        if (_current?.Text == text) End();
    }
}
