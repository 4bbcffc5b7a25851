using IlgpuSparse.Compute;

namespace IlgpuSparse.OracleTests.Oracles;

/// <summary>Random inputs, moves between layouts, and the comparison.</summary>
internal static class Matrices
{
    /// <summary>Normally distributed numbers.</summary>
    public static float[] Normal(Random random, int count)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return values;
    }

    /// <summary><c>[row, head, channel]</c> to <c>[head, row, channel]</c> or back with the counts exchanged.</summary>
    public static float[] SwapOuter(float[] values, int first, int second, int inner)
    {
        var result = new float[values.Length];
        for (int a = 0; a < first; a++)
        {
            for (int b = 0; b < second; b++) Array.Copy(values, (a * second + b) * inner, result, (b * first + a) * inner, inner);
        }
        return result;
    }

    /// <summary>A device buffer with <paramref name="values"/>.</summary>
    public static DeviceBuffer Upload(ComputeBackend backend, float[] values)
    {
        var buffer = backend.Allocate(values.Length * sizeof(float), "test");
        ((DeviceSpan)buffer).Upload<float>(values);
        return buffer;
    }

    /// <summary>Fails when any number is further than <paramref name="tolerance"/> · max(1, |expected|) away.</summary>
    public static void AssertClose(float[] expected, float[] actual, double tolerance, string where)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)expected[i] - actual[i]);
            if (!(difference <= tolerance * Math.Max(1, Math.Abs(expected[i]))))
                Assert.Fail($"{where}: number {i} is {actual[i]}, ONNX Runtime says {expected[i]} (difference {difference:g3})");
        }
    }
}
