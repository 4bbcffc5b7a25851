namespace IlgpuSparse.Compute.Gpu.Kernels.Linear;

/// <summary>
/// What products of one row know of the attention between them in a decode step, with which they share multiprocessors while one kernel ends and the next begins (<see cref="DependentLaunch"/>). It is about time alone, never about results.
/// </summary>
/// <remarks>
/// A group of a product takes more than half of a multiprocessor's shared memory, so that the next product's group comes there when it has ended: not before, when what it asks for would compete with what the groups at work still have to read,
/// but before others have ended. Until then, and until activations have come and been prepared, some 6 µs, the memory fills its ring, which has most of a multiprocessor's shared memory therefore.
/// </remarks>
internal sealed class ProductChain
{
    /// <summary>Whether attention may start while the projection of queries, keys and values is at work: as a sparse step in one kernel or dense attention of one group a multiprocessor, but not as kernels of several groups a multiprocessor, which then are placed unevenly.</summary>
    public bool MayStartAttention { get; private set; }

    /// <summary>Whether that projection leaves room for a group of attention beside each of its own.</summary>
    public bool LeavesRoom { get; private set; }

    /// <summary>Attention has been launched, which <paramref name="startsEarly"/> if it may or does not, and <paramref name="beside"/> the groups of the projection if there is room; the next layer's is taken to be alike.</summary>
    public void Attended(bool startsEarly, bool beside = false)
    {
        MayStartAttention = startsEarly;
        LeavesRoom = beside;
    }
}
