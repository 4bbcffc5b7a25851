namespace IlgpuSparse.Generation;

/// <summary>Requests that wait for a <see cref="GenerationEngine"/>, in their order: what callers' threads and the engine's own share.</summary>
/// <param name="limit">Most that wait.</param>
/// <param name="slots">Texts that the engine works on at once, by which a wait is estimated.</param>
internal sealed class RequestQueue(int limit, int slots)
{
    // How much the last request says about how long one usually takes.
    private const double Recent = 0.1;

    private readonly object _gate = new();
    private readonly LinkedList<ActiveText> _waiting = new();
    private bool _closed, _ended;
    private int _open;
    private double _usualSeconds = 1;

    /// <summary>How many wait.</summary>
    public int Count
    {
        get
        {
            lock (_gate) return _waiting.Count;
        }
    }

    /// <summary>How many were taken and have not ended, waiting or not.</summary>
    public int Open
    {
        get
        {
            lock (_gate) return _open;
        }
    }

    /// <summary>Whether no more are taken.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_gate) return _closed;
        }
    }

    /// <summary>Whether the engine's thread is to end.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate) return _ended;
        }
    }

    /// <summary>The one that waits for longest; null when none does.</summary>
    public ActiveText? First
    {
        get
        {
            lock (_gate) return _waiting.First?.Value;
        }
    }

    /// <summary>Takes a request that may have <paramref name="tokens"/> tokens in the cache.</summary>
    /// <exception cref="EngineBusyException">Too many wait already, or no more are taken.</exception>
    public GenerationTicket Add(GenerationRequest request, int tokens, CancellationToken cancellation)
    {
        lock (_gate)
        {
            if (_closed) throw new EngineBusyException("the engine is stopping and takes no more requests", null);
            if (_waiting.Count >= limit)
            {
                double wait = Math.Clamp(_usualSeconds * (_waiting.Count + 1) / slots, 1, 600);
                throw new EngineBusyException($"{_waiting.Count} requests are waiting, which is the limit", TimeSpan.FromSeconds(Math.Ceiling(wait)));
            }
            var ticket = new GenerationTicket(request, cancellation);
            _waiting.AddLast(new ActiveText(ticket, tokens, EngineTelemetry.Start(request)));
            _open++;
            Monitor.Pulse(_gate);
            return ticket;
        }
    }

    /// <summary>Waits until there is one; false when the engine's thread is to end.</summary>
    public bool WaitForOne()
    {
        lock (_gate)
        {
            while (_waiting.Count == 0 && !_ended) Monitor.Wait(_gate);
            return !_ended;
        }
    }

    /// <summary>Takes <see cref="First"/> out.</summary>
    public void RemoveFirst()
    {
        lock (_gate) _waiting.RemoveFirst();
    }

    /// <summary>Takes out all that <paramref name="which"/> says.</summary>
    public IReadOnlyList<ActiveText> Take(Predicate<ActiveText> which)
    {
        var taken = new List<ActiveText>();
        lock (_gate)
        {
            for (var node = _waiting.First; node is not null;)
            {
                var next = node.Next;
                if (which(node.Value))
                {
                    _waiting.Remove(node);
                    taken.Add(node.Value);
                }
                node = next;
            }
        }
        return taken;
    }

    /// <summary>Learns how long an answer took once it was admitted.</summary>
    public void Took(double seconds)
    {
        lock (_gate) _usualSeconds += Recent * (seconds - _usualSeconds);
    }

    /// <summary>One that was taken has ended.</summary>
    public void Ended()
    {
        lock (_gate) _open--;
    }

    /// <summary>Takes no more.</summary>
    public void Close()
    {
        lock (_gate) _closed = true;
    }

    /// <summary>Takes no more, and lets the engine's thread end.</summary>
    public void End()
    {
        lock (_gate)
        {
            _closed = _ended = true;
            Monitor.Pulse(_gate);
        }
    }
}
