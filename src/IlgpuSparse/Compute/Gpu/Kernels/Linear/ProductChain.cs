namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// What products of one row know of the kernels before and behind them in a decode step, with which they share multiprocessors while one ends and the next begins (<see cref="DependentLaunch"/>). It is about time alone, never
/// about results.
/// </summary>
/// <remarks>
/// Products are wide and narrow in turn: a wide one takes more than half of a multiprocessor's shared memory, so that no multiprocessor has two of its groups, and leaves room for one of the next. Were all narrow, two groups would
/// begin on whichever multiprocessors are free first, and all others wait for those; behind a sparse step as one kernel, which does not use all multiprocessors alike, that cost 10 µs a layer of Llama-2-7B. Behind attention that begins
/// early the first one is wide: its groups, too, come while that ends.
/// </remarks>
internal sealed class ProductChain
{
    private bool _startsWide;

    /// <summary>Whether the next product is to take more than half of a multiprocessor's shared memory.</summary>
    public bool IsWide { get; private set; }

    /// <summary>Whether attention may start while the projection of queries, keys and values is at work: as a sparse step in one kernel or dense attention of one group a multiprocessor, but not as kernels of several groups a multiprocessor, which then are placed unevenly.</summary>
    public bool MayStartAttention { get; private set; }

    /// <summary>Attention has been launched, which <paramref name="startsEarly"/> if it may or does not; the next layer's is taken to be alike. Behind kernels that do not the first product is narrow, and fits beside their last groups.</summary>
    public void Attended(bool startsEarly)
    {
        MayStartAttention = startsEarly;
        IsWide = startsEarly || _startsWide;
    }

    /// <summary>A product of one row has been launched, which takes more than half of a multiprocessor's shared memory or not.</summary>
    public void Multiplied(bool wide)
    {
        // many inputs, in a narrow one's place: from the next attention on it will be in a wide one's
        _startsWide |= wide && !IsWide;
        IsWide = !wide;
    }
}
