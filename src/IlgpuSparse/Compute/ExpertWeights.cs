namespace IlgpuSparse.Compute;

/// <summary>The experts of one layer, each a SwiGLU feed-forward.</summary>
/// <param name="Gate">Gate projections <c>[intermediate, hidden]</c>, one an expert.</param>
/// <param name="Up">Up projections <c>[intermediate, hidden]</c>.</param>
/// <param name="Down">Down projections <c>[hidden, intermediate]</c>.</param>
/// <param name="Active">Experts that a token is routed to.</param>
public sealed record ExpertWeights(IReadOnlyList<WeightMatrix> Gate, IReadOnlyList<WeightMatrix> Up, IReadOnlyList<WeightMatrix> Down, int Active) : IDisposable
{
    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var weight in Gate.Concat(Up).Concat(Down)) weight.Dispose();
    }
}
