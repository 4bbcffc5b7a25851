namespace IlgpuSparse.Compute.Cpu;

/// <summary>How an element type of the cache is read: two vectors of fp32 at a time, in the order that is cheapest to unpack.</summary>
internal unsafe interface IKvElement
{
    /// <summary>Bytes an element.</summary>
    static abstract int Bytes { get; }

    /// <summary>What the vectors must be multiplied by to have the stored values, besides <see cref="Remainder"/>. Queries and results are multiplied by it.</summary>
    static abstract float Unit { get; }

    /// <summary>A second factor where one would take the queries too far: logits and weights are multiplied by it. 1 for most.</summary>
    static virtual float Remainder => 1f;

    /// <summary>Whether <see cref="First"/> holds the even and <see cref="Second"/> the odd elements, rather than the lower and the upper half.</summary>
    static abstract bool Interleaved { get; }

    /// <summary>What <see cref="First"/> and <see cref="Second"/> want.</summary>
    static abstract KvConstants<V> Constants<V>() where V : struct, ISimd<V>;

    /// <summary>One half of the 2·Count elements at <paramref name="source"/>.</summary>
    static abstract V First<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V>;

    /// <summary>The other half.</summary>
    static abstract V Second<V>(byte* source, in KvConstants<V> constants) where V : struct, ISimd<V>;
}
