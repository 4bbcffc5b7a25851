using System.Runtime.CompilerServices;
using IlgpuSparse.Compute;

namespace IlgpuSparse.Tests.Compute;

/// <summary>Rows of activations for products to be checked with: on a device, and in double precision.</summary>
internal static class ActivationRows
{
    /// <summary>A buffer of <paramref name="values"/>.</summary>
    public static DeviceBuffer Upload<T>(ComputeBackend backend, T[] values) where T : unmanaged
    {
        var buffer = backend.Allocate((long)values.Length * Unsafe.SizeOf<T>(), "test");
        ((DeviceSpan)buffer).Upload<T>(values);
        return buffer;
    }

    /// <summary>A row as a product takes it: normalised by the weights <paramref name="norm"/>, or as it is without.</summary>
    public static double[] Normed(ReadOnlySpan<float> x, RandomWeights? norm, float epsilon)
    {
        double[] v = [.. x.ToArray().Select(f => (double)f)];
        if (norm is null) return v;
        double scale = 1 / Math.Sqrt(v.Average(a => a * a) + epsilon);
        return [.. v.Select((a, i) => a * scale * norm.Values[i])];
    }

    /// <summary>Asserts that a result is within <paramref name="tolerance"/>; <paramref name="what"/> and <paramref name="seed"/> say where it is not.</summary>
    public static void Near(double expected, float actual, double tolerance, string what, int seed) =>
        Assert.True(Math.Abs(expected - actual) <= tolerance, $"{what}: {actual}, expected {expected} ± {tolerance} (seed {seed})");
}
