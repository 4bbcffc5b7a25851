namespace IlgpuSparse.Compute;

/// <summary>Sizes of one layer's attention.</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="KvHeads">Key and value heads, a divisor of <paramref name="Heads"/>.</param>
/// <param name="HeadDim">Channels a head, d.</param>
/// <param name="Window">Tokens that a query may look back, itself included; 0 for all.</param>
public readonly record struct AttentionShape(int Heads, int KvHeads, int HeadDim, int Window = 0)
{
    /// <summary>Query heads of one kv head.</summary>
    public int GroupSize => Heads / KvHeads;

    /// <summary>Softmax scale 1/√d.</summary>
    public float Scale => 1f / MathF.Sqrt(HeadDim);

    /// <summary>First token that the query at <paramref name="position"/> may see.</summary>
    public int FirstVisible(int position) => Window > 0 ? Math.Max(0, position - Window + 1) : 0;
}
