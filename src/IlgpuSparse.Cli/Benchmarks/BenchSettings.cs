namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>How a benchmark measures.</summary>
/// <param name="Samples">Measurements each median is of.</param>
/// <param name="Seed">Seed of the random numbers.</param>
/// <param name="ColdBytes">Bytes that runs touch before one comes back to the same memory; null for 128 MiB or 2.5 times the L2 of a CUDA device, whichever is more.</param>
internal sealed record BenchSettings(int Samples, int Seed, long? ColdBytes);
