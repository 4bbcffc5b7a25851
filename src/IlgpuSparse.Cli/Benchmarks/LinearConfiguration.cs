using IlgpuSparse.Model;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>One point of the grid that <c>bench linear</c> measures.</summary>
/// <param name="Format">Storage of the weights.</param>
/// <param name="Outputs">Weight rows.</param>
/// <param name="Inputs">Weight columns.</param>
/// <param name="Rows">Activation rows.</param>
internal sealed record LinearConfiguration(WeightFormat Format, int Outputs, int Inputs, int Rows)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Format} {Outputs:N0} x {Inputs:N0}, {Rows} rows";
}
