namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>How far texts of one kind drift that follow others.</summary>
/// <param name="Next">What follows.</param>
/// <param name="Pairs">Pairs of texts.</param>
/// <param name="After">By number of tokens since the map: the drift of each pair, rising.</param>
/// <param name="Remade">Share of the pairs whose map the standard limit makes anew, looked at as often as decoding does.</param>
internal sealed record DriftRow(string Next, int Pairs, IReadOnlyDictionary<int, double[]> After, double Remade);
