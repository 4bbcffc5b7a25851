namespace IlgpuSparse.Compute.Cpu;

/// <summary>
/// What an element type needs to be unpacked, held in registers for the length of a kernel. Written as literals the compiler would fetch each of them from memory again at every use,
/// and the load ports are what limits.
/// </summary>
internal struct KvConstants<V>
    where V : struct, ISimd<V>
{
    /// <summary>Bits to keep.</summary>
    public V Mask;

    /// <summary>Bits to add.</summary>
    public V Base;

    /// <summary>Factor of the correction for subnormal numbers.</summary>
    public V Two;

    /// <summary>Summand of that correction.</summary>
    public V Offset;

    /// <summary>The sign bit.</summary>
    public V Sign;
}
