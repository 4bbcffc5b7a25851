using ILGPU;

namespace IlgpuSparse.Compute.Gpu.Kernels.Offload;

/// <summary>Rows that were brought for predicted lists; any memory where there are none.</summary>
internal struct AheadView
{
    /// <summary>The predicted lists <c>[row, set, capacity]</c>, and how long they are <c>[row, set]</c>.</summary>
    public ArrayView<int> Tokens, Counts;

    /// <summary>Place of a token in its list <c>[row, set, token]</c>. Never cleared: it holds if the list has the token at that place.</summary>
    public ArrayView<int> Places;

    /// <summary>Tokens a set of <see cref="Places"/>.</summary>
    public int Width;

    /// <summary>Addresses of the rows, in <see cref="FetchArgs.FetchedK"/>'s order.</summary>
    public long K, V;
}
