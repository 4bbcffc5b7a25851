namespace IlgpuSparse.Compute;

/// <summary>Approximate logits, fp32 <c>[row, set, Capacity]</c> indexed by token position; entries outside the visible range are undefined.</summary>
/// <param name="Buffer">The scores.</param>
/// <param name="Sets">Sets a row: kv heads, or query heads with the paper's per-query-head option.</param>
/// <param name="Capacity">Tokens a set; a multiple of 16, at least the longest sequence.</param>
public sealed record TokenScores(DeviceBuffer Buffer, int Sets, int Capacity) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose() => Buffer.Dispose();
}
