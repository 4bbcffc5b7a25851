using IlgpuSparse.Cache;
using IlgpuSparse.Generation;

namespace IlgpuSparse.Llama;

/// <summary>
/// Decode steps of one sequence whose tokens are drawn on the device and feed the next step there. The host asks for several steps at once and reads their tokens while the next ones run. To its user the
/// sequence is as long as the tokens that were taken: what has been computed beyond them is forgotten when the queue ends, or when its decoder is asked for something else in between.
/// </summary>
internal sealed class StepQueue : IDisposable
{
    private readonly DrawingSteps _drawing;
    private readonly CacheSequence _sequence;
    private readonly SamplingOptions _sampling;
    private readonly int[][] _blocks;
    private readonly int[] _counts = new int[TokenFeedback.Batches];
    private readonly int[] _tokens = new int[TokenFeedback.BatchSteps];
    private readonly int _end;

    private int _token, _drawn;
    private bool _started;
    private int _position; // of the next step to ask for
    private int _size; // steps of the next batch
    private int _first, _flying; // the oldest batch that was asked for and not read, and how many there are
    private int _read, _ready; // tokens taken, and tokens there, of the batch read last

    /// <summary>Continues <paramref name="sequence"/> with <paramref name="token"/>, which was the draw number <paramref name="drawn"/> of <paramref name="sampling"/>.</summary>
    /// <param name="drawing">Steps of the decoder whose sequence it is.</param>
    /// <param name="sequence">The sequence.</param>
    /// <param name="token">The next token to append.</param>
    /// <param name="sampling">How tokens are drawn.</param>
    /// <param name="drawn">Draws so far.</param>
    /// <param name="steps">Most steps that will be taken.</param>
    public StepQueue(DrawingSteps drawing, CacheSequence sequence, int token, SamplingOptions sampling, int drawn, int steps)
    {
        (_drawing, _sequence, _token, _sampling, _drawn) = (drawing, sequence, token, sampling, drawn);
        _blocks = [sequence.Blocks];
        _end = (int)Math.Min((long)sequence.Length + steps, drawing.Capacity);
    }

    /// <summary>Appends the last token to the sequence and returns the one drawn after it.</summary>
    /// <exception cref="InvalidOperationException">The cache is full.</exception>
    /// <exception cref="ArithmeticException">No logit is a finite number.</exception>
    public int Next()
    {
        if (_read == _ready) Fetch();
        int token = Sampler.Checked(_tokens[_read++]);
        _sequence.Advance(1);
        _drawn++;
        return _token = token;
    }

    /// <summary>Forgets the steps beyond the sequence's length, which goes on from there when it is asked to.</summary>
    internal void Discard()
    {
        _started = false;
        _flying = _read = _ready = 0;
        _sequence.Rewind(_sequence.Length); // blocks that were reserved ahead
    }

    /// <summary>Ends the queue.</summary>
    public void Dispose() => _drawing.End(this);

    private void Fetch()
    {
        if (!_started) Start();
        // whoever takes turns with others takes one token at a time, for which nothing is done in vain
        bool ahead = _size > 1;
        if (_flying == 0) Ask();
        if (ahead && _flying < TokenFeedback.Batches) Ask();
        var history = _drawing.Feedback.Download(_first).Wait();
        _ready = _counts[_first];
        for (int i = 0; i < _ready; i++) _tokens[i] = history[(_sequence.Length + i) & (TokenFeedback.Slots - 1)];
        _read = 0;
        _first = (_first + 1) % TokenFeedback.Batches;
        _flying--;
    }

    private void Start()
    {
        _drawing.Begin(this, _token, _drawn);
        _started = true;
        _position = _sequence.Length;
        _size = 1;
    }

    // Asks for a batch behind those that are under way; for none where it has to wait for them.
    private void Ask()
    {
        int end = Math.Min(Math.Min(_position + _size, _end), _sequence.Room);
        if (end <= _position)
        {
            if (_flying > 0) return;
            end = _position + 1; // if there is no room, reserving says so
        }
        _sequence.Reserve(end);
        int count = 0;
        while (_position < end && _drawing.TryStep(_position, _blocks, _sampling, alone: _flying + count == 0))
        {
            _position++;
            count++;
        }
        if (count == 0) return;
        int batch = (_first + _flying) % TokenFeedback.Batches;
        _drawing.Feedback.Download(batch).Start();
        _counts[batch] = count;
        _flying++;
        _size = Math.Min(2 * _size, TokenFeedback.BatchSteps);
    }
}
