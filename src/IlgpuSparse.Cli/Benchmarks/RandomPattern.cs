using IlgpuSparse.Compute;

namespace IlgpuSparse.Cli.Benchmarks;

/// <summary>
/// Normal random numbers on the host and on the device. Contents of any size are cut from it at random offsets: a cache of gigabytes is filled without a copy from the host, and what
/// lies where is known on both sides.
/// </summary>
internal sealed class RandomPattern : IDisposable
{
    private readonly float[] _values;
    private readonly Random _random;
    private readonly DeviceBuffer _buffer;

    /// <summary>Draws <paramref name="count"/> numbers.</summary>
    public RandomPattern(ComputeBackend backend, int seed, int count)
    {
        Seed = seed;
        _random = new Random(seed);
        _values = new float[count];
        for (int i = 0; i + 1 < count; i += 2)
        {
            // Box-Muller, both numbers of a pair
            double radius = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())), angle = 2 * Math.PI * _random.NextDouble();
            _values[i] = (float)(radius * Math.Cos(angle));
            _values[i + 1] = (float)(radius * Math.Sin(angle));
        }
        _buffer = backend.Allocate((long)count * sizeof(float), "pattern");
        ((DeviceSpan)_buffer).Upload<float>(_values);
    }

    /// <summary>What everything was drawn from.</summary>
    public int Seed { get; }

    /// <summary>A random place with <paramref name="floats"/> numbers behind it.</summary>
    /// <exception cref="ArgumentException">The pattern is shorter.</exception>
    public int Draw(long floats)
    {
        const int grain = 4; // operands start at multiples of 16 bytes
        if (floats > _values.Length) throw new ArgumentException($"{floats:N0} numbers from a pattern of {_values.Length:N0}", nameof(floats));
        return _random.Next((int)((_values.Length - floats) / grain) + 1) * grain;
    }

    /// <summary>The numbers from <paramref name="offset"/> on, as an operand.</summary>
    public DeviceSpan Device(int offset) => ((DeviceSpan)_buffer).SkipFloats(offset);

    /// <summary>The same numbers on the host.</summary>
    public ReadOnlySpan<float> Host(int offset, int count) => _values.AsSpan(offset, count);

    /// <summary>A random number below <paramref name="limit"/>, from the same seed.</summary>
    public int Next(int limit) => _random.Next(limit);

    /// <summary>A random order of 0 .. <paramref name="count"/> - 1.</summary>
    public int[] Permutation(int count)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        _random.Shuffle(order);
        return order;
    }

    /// <inheritdoc/>
    public void Dispose() => _buffer.Dispose();
}
